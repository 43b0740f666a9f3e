// What a page holds: counted by the browser after a collection, so that equal states give equal numbers.

/** Bytes of script heap, DOM nodes, listeners, textures and shader programs. `page` sends DevTools commands. */
export async function held(page) {
  await page.send('Performance.enable');
  await page.send('HeapProfiler.collectGarbage');
  const { metrics } = await page.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name)?.value ?? 0;
  const gpu = await page.evaluate(() => {
    const { memory, programs } = document.querySelector('a-scene').renderer.info;
    return { textures: memory.textures, geometries: memory.geometries, programs: programs.length };
  });
  return {
    heap: of('JSHeapUsedSize'),
    nodes: of('Nodes'),
    listeners: of('JSEventListeners'),
    ...gpu,
  };
}
