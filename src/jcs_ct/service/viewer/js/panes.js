/* NiiVue without what only its three-dimensional rendering needs. */

import { Niivue } from "../vendor/niivue/niivue.js";

const GRADIENT_WORK = 33992; // the texture unit in which NiiVue begins to make gradients

/**
 * After each change of a window NiiVue works out the gradients of the whole volume, for light and shade on surfaces. Slices
 * show none of it, and it costs most of the time and two textures of the volume's size. Here it gets a volume of a few
 * voxels to do that for: the size is swapped where making gradients begins, and back where it has ended.
 */
export class Panes extends Niivue {
  rgbaTex(texture, unit, dims, isInit) {
    if (unit === GRADIENT_WORK && dims === this.volumes[0]?.hdr?.dims) {
      this.fullDims = dims.slice();
      dims.splice(1, 3, 2, 2, 2);
    }
    return super.rgbaTex(texture, unit, dims, isInit);
  }

  sliceScale(forceVox) {
    if (this.fullDims) {
      this.volumes[0].hdr.dims.splice(0, this.fullDims.length, ...this.fullDims);
      this.fullDims = null;
    }
    return super.sliceScale(forceVox);
  }
}
