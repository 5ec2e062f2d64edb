"""The console's JavaScript that thinks: what the upload page makes of files, and how streams are read."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).parents[2] / "static" / "console"

CONFIG = {"adapter_config.json": '{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "base_model_name_or_path": "org/m"}'}
HEADER = '{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'
WEIGHTS = {"adapter_model.safetensors": chr(len(HEADER)) + "\0" * 7 + HEADER + "1234"}


def run(script: str, code: str) -> Any:
    """What `code`, an async function's body with the module as `m`, returns."""
    # As a data URL, since Node takes a .js file for a module only where a package.json says so.
    module = base64.b64encode((STATIC / script).read_bytes()).decode()
    program = f"""
        const m = await import("data:text/javascript;base64,{module}");
        const result = await (async () => {{ {code} }})();
        console.log(JSON.stringify(result));
    """
    beside = Path(sys.executable).with_name("node")
    node = str(beside) if beside.exists() else shutil.which("node")
    assert node, "The console's tests need Node, as its set-up does."
    done = subprocess.run(
        [node, "--no-warnings", "--input-type=module"], input=program, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def examine(files: dict[str, str], most: int = 10_000) -> dict[str, Any]:
    """What the upload page makes of these files: what it sends, what it says."""
    return run(
        "upload/check.js",
        f"""
        const files = Object.entries({json.dumps(files)});
        const picked = files.map(([path, text]) => ({{ path, file: new File([text], path.split("/").pop()) }}));
        const chosen = m.choose(picked);
        const about = chosen.problem ? {{ problem: chosen.problem }} : await m.read(chosen.send, {most});
        const paths = (items) => items.map((item) => item.path);
        return {{ ...about, sent: paths(chosen.send), left: paths(chosen.left), name: m.suggestName(picked) }};
        """,
    )


def test_the_two_files_are_sent_and_the_rest_is_left_out() -> None:
    folder = {f"My Bot/{name}": text for name, text in {**CONFIG, **WEIGHTS}.items()}
    result = examine({**folder, "My Bot/training_args.bin": "x", "My Bot/checkpoint-9/adapter_config.json": "{}"})
    assert result["problem"] == ""
    assert result["sent"] == ["My Bot/adapter_config.json", "My Bot/adapter_model.safetensors"]
    assert result["left"] == ["My Bot/training_args.bin", "My Bot/checkpoint-9/adapter_config.json"]
    assert (result["rank"], result["alpha"], result["base"]) == (8, 16, "org/m")
    assert result["name"] == "my-bot"


def test_the_card_and_the_signatures_beside_them_are_sent_too() -> None:
    beside = {"README.md": "# Bot", "SHA256SUMS": "ab", "SHA256SUMS.minisig": "sig"}
    folder = {f"bot/{name}": text for name, text in {**CONFIG, **WEIGHTS, **beside}.items()}
    result = examine({**folder, "bot/checkpoint-9/README.md": "# Nine", "bot/README.txt": "x"})
    assert result["problem"] == ""
    assert result["sent"] == list(folder)
    assert result["left"] == ["bot/checkpoint-9/README.md", "bot/README.txt"]


def test_one_archive_is_sent_as_it_is() -> None:
    result = examine({"Support Bot.v2.tar.gz": "x"})
    assert result["sent"] == ["Support Bot.v2.tar.gz"]
    assert result["name"] == "support-bot.v2"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (CONFIG, "adapter_model.safetensors is missing."),
        (WEIGHTS, "adapter_config.json is missing."),
        ({**CONFIG, "adapter_model.bin": "x"}, "adapter_model.bin is a pickle file"),
        ({"model.safetensors": "x"}, "model.safetensors is a whole model."),
        ({"notes.txt": "x"}, "Neither adapter_config.json nor adapter_model.safetensors"),
        ({"a.zip": "x", "b.zip": "x"}, "one archive alone"),
        ({**WEIGHTS, "adapter_config.json": "{"}, "adapter_config.json is not valid JSON."),
        ({**WEIGHTS, "adapter_config.json": '{"peft_type": "IA3"}'}, "describes IA3; only LoRA"),
        ({**CONFIG, "adapter_model.safetensors": ""}, "adapter_model.safetensors is empty."),
        ({**CONFIG, "adapter_model.safetensors": "no tensors"}, "is not a safetensors file."),
        ({**CONFIG, "adapter_model.safetensors": WEIGHTS["adapter_model.safetensors"][:-1]}, "is cut off."),
        ({**CONFIG, "adapter_model.safetensors": WEIGHTS["adapter_model.safetensors"][:30]}, "is cut off."),
        ({"big.zip": "x" * 10_001}, "larger than this platform takes"),
    ],
)
def test_what_the_server_would_refuse_is_said_before_it_is_sent(files: dict[str, str], words: str) -> None:
    assert words in examine(files)["problem"]


def test_a_stream_is_read_whatever_its_pieces() -> None:
    stream = 'data: {"a": "grün"}\r\n\r\n: comment\ndata: {"b": 2}\n\ndata: [DONE]\n\ndata: {"c": 3}\n\n'
    events = run(
        "chat/events.js",
        f"""
        const bytes = new TextEncoder().encode({json.dumps(stream)});
        const all = [];
        for (const size of [1, 7, 1000]) {{
          const pieces = [];
          for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
          const seen = [];
          for await (const event of m.events(ReadableStream.from(pieces))) seen.push(event);
          all.push(seen);
        }}
        return all;
        """,
    )
    assert events == [[{"a": "grün"}, {"b": 2}]] * 3


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")])
def test_remaining_time_is_said_in_few_words(seconds: float, words: str) -> None:
    assert run("upload/send.js", f"return m.duration({seconds});") == words
