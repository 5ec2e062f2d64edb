// Turns what people drop or choose (files, folders) into a flat list of {path, file}.

async function entriesOf(folder) {
  const reader = folder.createReader();
  const all = [];
  // readEntries hands out a folder in portions and ends with an empty one.
  for (;;) {
    const portion = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!portion.length) return all;
    all.push(...portion);
  }
}

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const below = await Promise.all((await entriesOf(entry)).map(walk));
  return below.flat();
}

export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return chosen(transfer.files);
  return (await Promise.all(entries.map(walk))).flat();
}

export function chosen(files) {
  return [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}
