"""Ready-made programs that call a model through this platform."""

import json
from dataclasses import dataclass

from polygraft.conf import config

PLACEHOLDER_KEY = "YOUR_API_KEY"

# Claude Code asks for one of these by the weight of the task.
_CLAUDE_CODES_MODELS = ("", "DEFAULT_HAIKU_", "DEFAULT_SONNET_", "DEFAULT_OPUS_")


@dataclass(frozen=True, slots=True)
class Snippet:
    """One program; `language` is its id in the page."""

    language: str
    label: str
    code: str


def snippets(*, model: str, key: str = PLACEHOLDER_KEY) -> list[Snippet]:
    """The same chat request in the languages that callers use, and a coding assistant's settings."""
    url = f"{config().base_url}/v1"
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    return [
        Snippet(
            "curl",
            "curl",
            f"curl {url}/chat/completions \\\n"
            f'  -H "Authorization: Bearer {key}" \\\n'
            f'  -H "Content-Type: application/json" \\\n'
            f"  -d '{body}'",
        ),
        Snippet(
            "python",
            "Python",
            f"""\
from openai import OpenAI

client = OpenAI(base_url="{url}", api_key="{key}")
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello!"}}],
)
print(answer.choices[0].message.content)""",
        ),
        Snippet(
            "javascript",
            "JavaScript",
            f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{url}", apiKey: "{key}" }});
const answer = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello!" }}],
}});
console.log(answer.choices[0].message.content);""",
        ),
        Snippet(
            "anthropic",
            "Anthropic",
            f"""\
from anthropic import Anthropic

client = Anthropic(base_url="{config().base_url}", api_key="{key}")
answer = client.messages.create(
    model="{model}",
    max_tokens=500,
    messages=[{{"role": "user", "content": "Hello!"}}],
)
print(answer.content[0].text)""",
        ),
        Snippet(
            "claude-code",
            "Claude Code",
            "\n".join(
                (
                    f"export ANTHROPIC_BASE_URL={config().base_url}",
                    f"export ANTHROPIC_AUTH_TOKEN={key}",
                    *(f"export ANTHROPIC_{name}MODEL={model}" for name in _CLAUDE_CODES_MODELS),
                    "claude",
                )
            ),
        ),
    ]
