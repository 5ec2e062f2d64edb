// Looks at chosen files before they are sent: what is needed, what is left out, and what the server would refuse.
// The server checks everything again, and more.

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";
const ARCHIVE = /\.(zip|tar|tar\.gz|tgz)$/i;
// Read beside the two: the card says what it was trained on, signatures say by whom it was.
const COMPANIONS = ["README.md", "SHA256SUMS", ...["SHA256SUMS", CONFIG, WEIGHTS].map((name) => `${name}.minisig`)];
const PICKLE = /^adapter_model\.(bin|pt|pth|ckpt|pkl)$/i;

const base = (path) => path.split("/").pop();
const depth = (path) => path.split("/").length;
const folder = (path) => path.slice(0, path.lastIndexOf("/") + 1);

// Of a folder with checkpoints in it, the files nearest to its top are meant.
function nearest(picked, name) {
  return picked.filter((item) => base(item.path) === name).sort((a, b) => depth(a.path) - depth(b.path))[0];
}

export function choose(picked) {
  const archives = picked.filter((item) => ARCHIVE.test(item.path));
  if (archives.length === 1 && picked.length === 1) {
    return { send: archives, left: [], problem: "", isArchive: true };
  }
  const config = nearest(picked, CONFIG);
  const weights = nearest(picked, WEIGHTS);
  const send = [config, weights].filter(Boolean);
  if (config && weights) {
    const folders = send.map((item) => folder(item.path));
    send.push(...picked.filter((item) => COMPANIONS.includes(base(item.path)) && folders.includes(folder(item.path)) && item.file.size));
  }
  const left = picked.filter((item) => !send.includes(item));
  return { send, left, problem: problemOf(picked, config, weights, archives), isArchive: false };
}

function problemOf(picked, config, weights, archives) {
  if (!picked.length) return "";
  if (config && weights) return "";
  const pickle = picked.find((item) => PICKLE.test(base(item.path)));
  if (!weights && pickle) {
    return `${base(pickle.path)} is a pickle file, which can run code when it is loaded, and is not taken. Save the adapter with safe_serialization=True (PEFT's default) and drop ${WEIGHTS}.`;
  }
  if (archives.length) return "Drop one archive alone, or the files without an archive.";
  if (picked.some((item) => base(item.path) === "model.safetensors")) {
    return "model.safetensors is a whole model. Drop the folder that PEFT's save_pretrained wrote, which holds only the adapter.";
  }
  if (!config && !weights) return `Neither ${CONFIG} nor ${WEIGHTS} is among these files. Drop the folder that PEFT's save_pretrained wrote.`;
  return `${config ? WEIGHTS : CONFIG} is missing. Drop it too: both files belong to the adapter.`;
}

export async function read(send, maxBytes) {
  const total = send.reduce((sum, item) => sum + item.file.size, 0);
  if (total > maxBytes) return { problem: `These files are larger than this platform takes.` };
  const empty = send.find((item) => item.file.size === 0);
  if (empty) return { problem: `${base(empty.path)} is empty.` };
  const config = send.find((item) => base(item.path) === CONFIG);
  const weights = send.find((item) => base(item.path) === WEIGHTS);
  if (!config || !weights) return { problem: "" };
  const about = await readConfig(config.file);
  return about.problem ? about : { ...about, problem: await truncation(weights.file) };
}

async function readConfig(file) {
  let config;
  try {
    config = JSON.parse(await file.slice(0, 1 << 20).text());
  } catch {
    return { problem: `${CONFIG} is not valid JSON. Take the file that PEFT's save_pretrained wrote.` };
  }
  if (config?.peft_type !== "LORA") {
    return { problem: `${CONFIG} describes ${config?.peft_type ?? "no PEFT method"}; only LoRA adapters can be served.` };
  }
  return { base: config.base_model_name_or_path ?? "", rank: config.r, alpha: config.lora_alpha };
}

// A safetensors file says at its beginning how long it is.
async function truncation(file) {
  const broken = `${WEIGHTS} is not a safetensors file. Save the adapter with safe_serialization=True, PEFT's default.`;
  if (file.size < 8) return broken;
  const length = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
  if (length > 100 << 20) return broken;
  let header;
  try {
    header = JSON.parse(await file.slice(8, 8 + length).text());
  } catch {
    return file.size < 8 + length ? `${WEIGHTS} is cut off. Copy it again from where it was trained.` : broken;
  }
  const ends = Object.entries(header).filter(([name]) => name !== "__metadata__").map(([, tensor]) => tensor.data_offsets?.[1] ?? 0);
  return 8 + length + Math.max(0, ...ends) > file.size ? `${WEIGHTS} is cut off. Copy it again from where it was trained.` : "";
}

export function suggestName(picked) {
  const first = picked[0].path;
  const source = first.includes("/") ? first.split("/")[0] : ARCHIVE.test(first) ? first.replace(ARCHIVE, "") : "";
  return source.toLowerCase().replace(/[^a-z0-9._-]+/g, "-").slice(0, 64).replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
}
