"""The answer in words in answers.yaml, read as text where YAML would stumble over it."""

from __future__ import annotations

import re

NEXT_QUESTION = re.compile(r"^q\d\w*[ \t]*:", re.MULTILINE)
MARKS = re.compile(r"[>|][+-]?\d?[+-]?(?=\s|$)")  # how YAML begins a text of several lines


def without_own_words(text: str, question: str) -> tuple[str, str]:
    """A YAML text without one question, and what stands there, word for word.

    A colon or a dash in a sentence means something to YAML. It shall not cost the other answers.
    """
    begin = re.search(rf"^{re.escape(question)}[ \t]*:", text, re.MULTILINE)
    if begin is None:
        return text, ""
    after = NEXT_QUESTION.search(text, begin.end())
    end = after.start() if after else len(text)
    lines = "\n".join([""] * text.count("\n", begin.start(), end))  # later lines keep their numbers
    rest = f"{text[: begin.start()]}{question}:\n{lines}{text[end:]}"
    words = text[begin.end() : end].strip()
    words = MARKS.sub("", words, count=1).strip() if MARKS.match(words) else words
    return rest, "\n".join(line.strip() for line in words.split("\n"))
