"""Formats from what templates write: small templates, each with one thing that others lack."""

from __future__ import annotations

import pytest
from formats.real_template import real_template
from mlx_serving.calls.derive import derive_format
from mlx_serving.calls.families import GENERIC
from mlx_serving.calls.format import (
    ID,
    INDEX_FROM_0,
    INDEX_FROM_1,
    FormatUnknown,
    JsonArguments,
    JsonObject,
    Pythonic,
    Tagged,
)
from mlx_serving.calls.needs import derive_needs


def template(calls: str, end: str = "<|im_end|>\n") -> str:
    """One that writes the calls of a message so."""
    return (
        "{%- for message in messages -%}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
        f"{{%- if message.tool_calls -%}}{calls}{{%- endif -%}}{end}{{%- endfor -%}}"
        "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
    )


def each(body: str, separator: str = "", around: tuple[str, str] = ("", "")) -> str:
    between = f"{{%- if not loop.last -%}}{{{{ '{separator}' }}}}{{%- endif -%}}"
    loop = (
        f"{{%- for c in message.tool_calls -%}}{body}{between if separator else ''}{{%- endfor -%}}"
    )
    return f"{{{{ '{around[0]}' }}}}{loop}{{{{ '{around[1]}' }}}}"


NAME, ARGUMENTS = "{{ c.function.name }}", "{{ c.function.arguments | tojson }}"
ITEMS = "{%- for k, v in c.function.arguments.items() -%}"
VALUE = "{{ v if v is string else v | tojson }}"


def test_an_object() -> None:
    body = (
        f'{{{{ "\\n<call>\\n" }}}}{{"tool": "{NAME}", "input": {ARGUMENTS}}}{{{{ "\\n</call>" }}}}'
    )
    found = derive_format(real_template(template(each(body))))
    assert found.style == JsonObject("tool", "input")
    assert (found.open, found.close, found.separator) == ("", "", "\n")
    assert found.before == '<call>\n{"tool": "' and found.after == "}\n</call>"
    assert found.begin == "<call>" and found.spacing == "spaced" and found.source == "derived"


def test_a_list_of_objects_with_ids() -> None:
    body = f'{{"name": "{NAME}", "arguments": {ARGUMENTS}, "id": "{{{{ c.id }}}}"}}'
    found = derive_format(real_template(template(each(body, ", ", ("[CALLS][", "]")))))
    assert (found.open, found.separator, found.close) == ("[CALLS][", ", ", "]")
    assert found.after == f', "id": "{ID}"}}' and found.begin == "[CALLS]"


@pytest.mark.parametrize(("number", "slot"), [("index0", INDEX_FROM_0), ("index", INDEX_FROM_1)])
def test_calls_that_are_counted(number: str, slot: str) -> None:
    body = f"<c>fn.{NAME}:{{{{ loop.{number} }}}}<a>{ARGUMENTS}</a></c>"
    found = derive_format(real_template(template(each(body, "", ("<all>", "</all>")))))
    assert found.style == JsonArguments()
    assert found.before == "<c>fn." and found.between == f":{slot}<a>"
    assert (found.open, found.after, found.close) == ("<all>", "</a></c>", "</all>")


def test_bare_json() -> None:
    body = f'{{"name": "{NAME}", "parameters": {ARGUMENTS}}}'
    found = derive_format(real_template(template(each(body))))
    assert found.begin == "" and found.style == JsonObject("name", "parameters")


def test_one_call_alone() -> None:
    check = "{%- if message.tool_calls | length > 1 -%}{{ raise_exception('one') }}{%- endif -%}"
    found = derive_format(real_template(template(check + each(f"<f={NAME}>{ARGUMENTS}</f>"))))
    assert found.single and (found.before, found.between, found.after) == ("<f=", ">", "</f>")


def test_arguments_between_marks() -> None:
    body = f"<c>{NAME}{ITEMS}<k>{{{{ k }}}}</k><v>{VALUE}</v>{{%- endfor -%}}</c>"
    found = derive_format(real_template(template(each(body))))
    assert isinstance(found.style, Tagged)
    assert (found.before, found.between, found.after) == ("<c>", "", "</c>")
    assert found.style.open == "<k>" and set(found.style.mids.values()) == {"</k><v>"}
    assert set(found.style.closes.values()) == {"</v>"}


def test_a_first_mark_that_models_leave_out() -> None:
    body = f"<c>\n<f={NAME}>{ITEMS}<k>{{{{ k }}}}</k><v>{VALUE}</v>{{%- endfor -%}}</f></c>"
    found = derive_format(real_template(template(each(body))))
    assert (found.begin, found.short_begin, found.before) == ("<c>", "<f=", "<c>\n<f=")


def test_marks_that_say_the_type() -> None:
    kind = "{{ 'text' if v is string else 'json' }}"
    body = f'<c>{NAME}{ITEMS}<p n="{{{{ k }}}}" t="{kind}">{VALUE}</p>{{%- endfor -%}}</c>'
    style = derive_format(real_template(template(each(body)))).style
    assert isinstance(style, Tagged)
    assert style.mids["string"] == '" t="text">' and style.mids["object"] == '" t="json">'


def test_pythonic_calls() -> None:
    comma = "{%- if not loop.last -%}, {% endif -%}"
    pairs = f"{ITEMS}{{{{ k }}}}={{{{ v | tojson }}}}{comma}{{%- endfor -%}}"
    found = derive_format(
        real_template(template(each(f"{NAME}({pairs})", ", ", ("<go>[", "]</go>"))))
    )
    assert found.style == Pythonic()
    assert (found.open, found.before, found.separator, found.close) == ("<go>[", "", ", ", "]</go>")


def test_arguments_as_text() -> None:
    source = template(each(f"<f={NAME}>{{{{ c.function.arguments + '' }}}}</f>"))
    found = derive_format(real_template(source))
    assert found.style == JsonArguments()
    assert derive_needs(real_template(source), found).arguments_as_text


def test_no_calls_at_all() -> None:
    assert derive_format(real_template(template(""))) is GENERIC


def test_a_template_that_is_none() -> None:
    assert derive_format(real_template("{{ raise_exception('no') }}")) is GENERIC


def test_calls_without_a_mark() -> None:
    with pytest.raises(FormatUnknown):
        derive_format(
            real_template(template(each(f"{NAME}({{{{ c.function.arguments | tojson }}}})")))
        )
