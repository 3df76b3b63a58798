"""What does not count as documentation: the templates' filler, sentences that tools generate, notes to the author.

Each rule names its tool. A rule removes the sentence and nothing else, so that what people have added counts.
"""

import re

NAME = r"(?:\[[^\]\n]{0,300}\]\([^)\n]{0,500}\)|[^\s\[]\S{0,200})"  # a model or dataset, perhaps with its address
DATASET = r"(?: on [^\n]{1,300}? datasets?)?"
LINK = r"\[[^\]\n]{0,200}\]\([^)\n]{0,300}\)"
RULES = {  # words, in lower case, without which a rule cannot apply -> what it removes
    # The Hub's model card template, and whoever fills in a card by it
    "more information": r"[\[MmNn](?:(?<=\[)(?i:more information needed|needs more information)\]|"
    r"(?<=\b[Mm])(?i:ore information needed)\b(?: for further recommendations)?|"
    r"(?<=\b[Nn])(?i:eeds more information)\b)\.?",
    "direct and downstream": r"Users \(both direct and downstream\) should be made aware of the risks, biases,? and "
    r"limitations of the model\.",
    "code below to get": r"Use the code below to get started with the model\.",
    "machine learning impact": r"Carbon emissions can be estimated using the \[Machine Learning Impact calculator\]"
    r"\([^)\n]{0,200}\) presented in \[Lacoste et al\. \(2019\)\]\([^)\n]{0,200}\)\.?",
    "been automatically generated": r"(?:This is the model card of an? [^.\n]{1,100} that has been pushed "
    r"(?:on|to) the Hub\. )?This model card has been automatically generated\.?",
    "base template for new": r"This model ?card aims to be a base template for new models\."
    rf"(?: It has been generated using {LINK}\.)?",
    # The Trainers of transformers, TRL and Keras
    "fine-tuned version of": rf"This model is a fine-tuned version of {NAME}{DATASET}\.",
    "trained from scratch on": rf"This model was trained from scratch{DATASET}\.",
    "the following results on": r"It achieves the following results on the evaluation set:",
    "following hyperparameters": r"The following hyperparameters were used during training:",
    "it has been trained using": r"It has been trained using \[TRL\]\([^)\n]{0,200}\)\.",
    # sentence-transformers
    "dense vector space": rf"This is a {LINK} model: It maps sentences & paragraphs to a \d+ dimensional dense vector "
    r"space and can be used for tasks like clustering or semantic search\.",
    "for an automated evaluation of": r"For an automated evaluation of this model, see the \*Sentence Embeddings "
    rf"Benchmark\*: {LINK}",
    # Notes to the author
    "todo": r"(?im:^[ \t]*(?:[-*+>#][ \t]+)*[\[(*_`]{0,3}todo\b.*$)|(?i:\[todo\b[^\]\n]*\])",
    "coming soon": r"(?im:^[ \t]*[-*+_(]{0,3}[ \t]*coming soon[.!)*_ \t]{0,8}$)",
    "n/a": r"(?im:^[ \t]*n/a[. \t]{0,4}$)",
}
COMPILED = [(words, re.compile(pattern)) for words, pattern in RULES.items()]
LABEL = re.compile(r"[ \t]*(?:[-*+][ \t]+)?\*\*[^*\n]*\*\*:?[ \t]*")


def without_filler(text: str) -> tuple[str, str]:
    """Remove filler, and a label that it leaves alone; give the text, and the same in lower case.

    >>> without_filler("- **License:** MIT\\n- **Developed by:** [More Information Needed]")[0]
    '- **License:** MIT\\n'
    """
    lower, whole = text.lower(), text
    for words, pattern in COMPILED:
        if words in lower:
            text = pattern.sub("\0", text)
    if text is whole:
        return text, lower
    lines: list[str] = []
    for line in text.split("\n"):
        lines.append(_without_mark(line, lines) if "\0" in line else line)
    text = "\n".join(lines)
    return text, text.lower()


def _without_mark(line: str, above: list[str]) -> str:
    """Remove what was marked as filler, the label before it, or the one that stands above it."""
    rest = line.replace("\0", "")
    if rest.strip():
        return "" if LABEL.fullmatch(rest) else rest
    for place in range(len(above) - 1, max(-1, len(above) - 4), -1):
        if above[place].strip():
            if LABEL.fullmatch(above[place]):
                above[place] = ""
            break
    return rest
