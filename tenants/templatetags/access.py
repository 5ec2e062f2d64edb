"""Lets templates hide what a person may not do; views refuse it all the same."""

from django import template

from tenants.access import Right, may
from tenants.models import Department

register = template.Library()


@register.simple_tag(takes_context=True, name="may")
def may_tag(context: template.Context, right: str, department: Department | None = None) -> bool:
    """Whether who looks at the page has this right: `{% may "keys.manage" department as manages %}`."""
    return may(context["request"].user, Right(right), department)
