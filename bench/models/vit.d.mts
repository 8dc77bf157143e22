// For tests in TypeScript.

export interface VitShape {
  size: number;
  patch: number;
  channels: number;
  depth: number;
  heads: number;
  mlp: number;
  seed: number;
}
export const VIT_S16: VitShape;
export const VIT_S16_PATH: string;
export function vitModel(options?: Partial<VitShape>): Uint8Array;
export function vitS16(path?: string): Promise<string>;
