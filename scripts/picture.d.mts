export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  readonly description: string;
  readonly body: string;
}
export function picture(parts: Picture): string;
export function escaped(text: string): string;
