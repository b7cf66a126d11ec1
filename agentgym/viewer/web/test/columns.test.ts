import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeColumns } from "../src/model/api";

/** As columns.py writes them. */
function encode(
  columns: { name: string; dtype: string; shape: number[]; offset: number }[],
  size: number,
): ArrayBuffer {
  let header = JSON.stringify({ columns });
  header += " ".repeat((8 - ((4 + header.length) % 8)) % 8);
  const data = new Uint8Array(4 + header.length + size);
  new DataView(data.buffer).setUint32(0, header.length, true);
  data.set(new TextEncoder().encode(header), 4);
  return data.buffer;
}

test("columns lie where the header says", () => {
  const data = encode(
    [
      { name: "sampled", dtype: "u1", shape: [3], offset: 0 },
      { name: "value", dtype: "f8", shape: [1, 2], offset: 8 },
    ],
    24,
  );
  const view = new DataView(data, data.byteLength - 24);
  view.setUint8(2, 1);
  view.setFloat64(16, -1.5, true);
  const found = decodeColumns(data);
  assert.deepEqual([...found["sampled"]!], [0, 0, 1]);
  assert.deepEqual([...found["value"]!], [0, -1.5]);
});

test("a kind of numbers that is not known is refused", () => {
  assert.throws(
    () => decodeColumns(encode([{ name: "x", dtype: "f2", shape: [1], offset: 0 }], 8)),
    /f2/,
  );
});
