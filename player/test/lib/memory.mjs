// What a page holds: counted by the browser after a collection, so that equal states give equal numbers.

/** Bytes of script heap, DOM nodes, listeners, textures and shader programs. */
export async function held(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  await session.send('HeapProfiler.collectGarbage');
  const { metrics } = await session.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name)?.value ?? 0;
  const gpu = await page.evaluate(() => {
    const { memory, programs } = document.querySelector('a-scene').renderer.info;
    return { textures: memory.textures, geometries: memory.geometries, programs: programs.length };
  });
  await session.detach();
  return {
    heap: of('JSHeapUsedSize'),
    nodes: of('Nodes'),
    listeners: of('JSEventListeners'),
    ...gpu,
  };
}
