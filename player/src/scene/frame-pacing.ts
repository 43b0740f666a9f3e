/**
 * How often the picture is drawn where WebGL runs in software: there a drawing takes the processor from the decoder and
 * the network, and whoever draws each frame of the video has none to draw soon. After each drawing the processor is
 * left to them for as long as the drawing took.
 */

export class Pace {
  private pending: WebGLSync | undefined;
  private began = 0;
  private free = 0;

  constructor(
    private gl: WebGL2RenderingContext,
    private now: () => number = () => performance.now(),
  ) {}

  /** Whether the last drawing is done: a turned view need not wait longer. */
  done(): boolean {
    const { gl, pending } = this;
    if (!pending) return true;
    if (gl.getSyncParameter(pending, gl.SYNC_STATUS) !== gl.SIGNALED) return false;
    gl.deleteSync(pending);
    this.pending = undefined;
    this.free = 2 * this.now() - this.began;
    return true;
  }

  /** Whether the next frame may be drawn. */
  rested(): boolean {
    return this.done() && this.now() >= this.free;
  }

  /** To be called after each drawing. */
  drawn(): void {
    const { gl } = this;
    if (this.pending) gl.deleteSync(this.pending);
    this.pending = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0) ?? undefined;
    gl.flush();
    this.began = this.now();
  }
}
