/** The player page: makes the parts and lets one snapshot, taken four times a second, drive what they show. */

import { Bar } from '../controls/bar.ts';
import { Compass } from '../controls/compass.ts';
import { expose } from '../debug.ts';
import { Playback } from '../media/playback.ts';
import { cap, wanted } from '../media/quality.ts';
import { type Route, viewOf } from '../route.ts';
import { viewed } from '../scene/headset.ts';
import { coarse, verticalFov } from '../scene/orientation.ts';
import { usualFov } from '../scene/projection.ts';
import { stage as buildStage, loadAframe, type SceneContext } from '../scene/scene.ts';
import { h, iconButton } from './dom.ts';
import { Notice, unmuteButton } from './notice.ts';

const SNAPSHOT_MS = 250;

type Watch = Extract<Route, { page: 'watch' }>;

export function watchPage(app: HTMLElement, route: Watch): void {
  const video = h('video', {
    id: 'video',
    playsinline: true,
    muted: true,
    crossorigin: 'anonymous',
    tabindex: -1,
  });
  video.muted = true;
  let stage: SceneContext | undefined;
  const playback = new Playback(video, route.playlist, route.base, () => largestTexture(stage));
  const notice = new Notice(() =>
    playback.phase === 'failed' ? playback.open() : playback.play(),
  );
  const picture = h('div', { class: 'picture' });
  const page = h(
    'main',
    { class: 'watch' },
    h('h1', { class: 'visually-hidden' }, route.name),
    video,
    picture,
    notice.element,
  );
  const bar = new Bar(page, playback, route, () => stage);
  const compass = new Compass(() => stage?.look.to({ yaw: 0, pitch: 0, fov: 80 }, true));
  const back = h('a', {
    class: 'icon back',
    href: '.',
    'aria-label': 'All streams',
    title: 'All streams',
  });
  back.append(...iconButton('back', '', () => undefined).childNodes);
  page.append(
    h(
      'header',
      { class: 'top' },
      back,
      h('p', { class: 'name' }, route.name),
      bar.badge,
      compass.element,
    ),
    ...bar.tools.layers,
    unmuteButton(video, () => askForMotion(bar)),
    bar.element,
  );
  app.replaceChildren(page);
  expose(playback, () => stage);

  let warned = false;
  playback.oninfo = (info) => {
    stage?.picture.setInfo(info);
    const [warning] = info.warnings;
    if (warning !== undefined && !warned) bar.tools.tell(warning);
    warned ||= warning !== undefined;
  };
  // Media is asked for before the sphere is there; it will open on the view that the address wants.
  playback.headingReport = () =>
    coarse(stage ? viewed(stage) : (route.view ?? { yaw: 0, pitch: 0 }));
  playback.open();

  const update = (): void => {
    const s = playback.snapshot();
    notice.show(s);
    bar.update(s);
    if (stage && s.rungs.length > 1) playback.limit(usefulRung(stage, playback));
  };
  playback.onchange = update;
  setInterval(update, SNAPSHOT_MS);

  // Running A-Frame keeps the page busy for a third of a second: by then media is on its way.
  playback.underWay
    .then(loadAframe)
    .then((ready) => buildStage(ready, picture))
    .then((built) => {
      stage = built;
      dress(built, picture, route);
      built.look.onturn = () => compass.turn(built.look.yaw, built.look.fov);
      built.look.onturn();
      built.picture.setInfo(playback.info);
      built.picture.setVideo(video, built.software);
      bar.ready(built);
    })
    .catch((error: unknown) => {
      // Without WebGL the flat picture is still worth seeing.
      page.classList.add('flat');
      notice.tell('Shown flat', `This browser cannot draw the sphere: ${String(error)}.`);
    });
}

function dress(stage: SceneContext, picture: HTMLElement, route: Watch): void {
  const { canvas } = stage.scene;
  canvas.tabIndex = 0;
  canvas.setAttribute('role', 'application');
  canvas.setAttribute(
    'aria-label',
    'Picture all around you. Arrow keys look around, plus and minus zoom.',
  );
  stage.look.listen(canvas);
  if (route.view) stage.look.to(route.view);
  addEventListener('hashchange', () => {
    const view = viewOf(location.hash);
    if (view) stage.look.to(view);
  });
  new ResizeObserver(() => stage.scene.resize()).observe(picture);
}

/** An iPhone asks for the motion sensor only within a tap; this is the one that everybody makes. */
function askForMotion(bar: Bar): void {
  const guarded =
    'DeviceOrientationEvent' in window && 'requestPermission' in DeviceOrientationEvent;
  if (guarded) void bar.tools.toggleMotion();
}

function largestTexture(stage: SceneContext | undefined): number {
  if (stage) return stage.scene.renderer.capabilities.maxTextureSize;
  const gl = document.createElement('canvas').getContext('webgl2');
  const size = (gl?.getParameter(gl.MAX_TEXTURE_SIZE) as number | undefined) ?? 4096;
  gl?.getExtension('WEBGL_lose_context')?.loseContext();
  return size;
}

function usefulRung(stage: SceneContext, playback: Playback): number {
  const { info } = playback;
  const { canvas } = stage.scene;
  // A headset shows its own field of view; three.js draws it at the size the device asks for.
  const pixels = stage.scene.is('vr-mode') ? 2000 : canvas.height;
  const fov = stage.scene.is('vr-mode')
    ? 95
    : verticalFov(stage.look.fov, canvas.width / canvas.height);
  const rungs = playback.hls?.levels ?? [];
  return cap(rungs, info, info.fov ?? usualFov(info.projection), wanted(pixels, fov));
}
