"""What a person needs once everything runs: addresses, secrets, and a request to try."""

from polygraft.local.demo_file import DemoFile, demo_file_path
from polygraft.local.demo_plan import DEPARTMENTS
from polygraft.snippets import snippets

_RULE = "─" * 78


def banner(demo: DemoFile, *, seconds: float) -> list[str]:
    """The lines to show. The request stands without a frame, so that it can be copied as it is."""
    password = demo.password or "(the password that you have chosen)"
    first = DEPARTMENTS[0]
    curl = snippets(model=first.adapter, key=demo.api_keys[first.slug])[0]
    return [
        _RULE,
        f"Ready after {seconds:.1f} s",
        "",
        f"  Console     {demo.url}",
        f"  Sign in as  {demo.username}  {password}",
        "",
        *(f"  {plan.slug:<10}  {demo.api_keys[plan.slug]}  calls {plan.adapter}" for plan in DEPARTMENTS),
        "",
        "Try it:",
        "",
        curl.code,
        "",
        f"All of this is in {demo_file_path()}. Ctrl-C stops everything.",
        _RULE,
    ]
