"""What templates take, found by trying."""

from __future__ import annotations

import json
from typing import Any

import pytest
from formats.real_template import real_template
from mlx_serving.calls.families import GENERIC
from mlx_serving.calls.needs import TemplateNeeds, derive_needs
from mlx_serving.calls.template import Template

TOOLS = "{%- for t in tools or [] -%}{{ t | tojson }}{%- endfor -%}"
CALLS = (
    "{%- for c in m.tool_calls or [] -%}<c>{{ c.function.name }}{{ c.function.arguments | tojson }}"
    "</c>{%- endfor -%}"
)
LOOP = "{%- for m in messages -%}<{{ m.role }}>{{ m.content or '' }}"


def needs(head: str, body: str) -> TemplateNeeds:
    return derive_needs(real_template(head + LOOP + body + "{%- endfor -%}"), GENERIC)


def raises(condition: str) -> str:
    return f"{{%- if {condition} -%}}{{{{ raise_exception('no') }}}}{{%- endif -%}}"


def test_a_template_that_takes_all() -> None:
    assert needs(TOOLS, CALLS) == TemplateNeeds()


@pytest.mark.parametrize(
    ("head", "body", "wanted"),
    [
        ("", CALLS, TemplateNeeds(tools=False)),
        (TOOLS, "", TemplateNeeds(calls=False, parallel=False)),
        (TOOLS, CALLS + raises("m.tool_calls | length > 1"), TemplateNeeds(parallel=False)),
        (TOOLS, CALLS + raises("m.role == 'tool'"), TemplateNeeds(results=False)),
        (TOOLS, CALLS + raises("m.role == 'system'"), TemplateNeeds(system=False)),
        (
            TOOLS,
            CALLS
            + "{%- for c in m.tool_calls or [] -%}"
            + raises("c.id | length != 9")
            + "{%- endfor -%}",
            TemplateNeeds(short_ids=True),
        ),
        (
            "{%- for t in tools -%}{{ t | tojson }}{%- endfor -%}",
            CALLS,
            TemplateNeeds(always_tools=True),
        ),
        (
            TOOLS
            + "{%- for t in tools or [] -%}{%- set shown = t.function.parameters.properties -%}"
            + "{%- for p in shown.values() -%}{{ p.type + p.description }}{%- endfor -%}"
            + "{%- endfor -%}",
            CALLS,
            TemplateNeeds(simple_schemas=True),
        ),
    ],
)
def test_what_each_lacks(head: str, body: str, wanted: TemplateNeeds) -> None:
    assert needs(head, body) == wanted


def test_arguments_as_text() -> None:
    as_text = CALLS.replace("c.function.arguments | tojson", "c.function.arguments + ''")
    assert needs(TOOLS, as_text) == TemplateNeeds(arguments_as_text=True)


def test_no_content_beside_calls() -> None:
    """A template that tells calls by their lack of content."""

    def render(messages: Any, tools: Any, arguments: Any, generation_prompt: bool) -> str:
        shown = [m if m.get("content") is None else m["content"] for m in messages]
        return json.dumps([tools, shown])

    found = derive_needs(Template("", render), GENERIC)
    assert found.no_content and found.calls and found.parallel
