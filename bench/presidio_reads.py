"""What Presidio finds in texts; run by bench/detectors.py, with the interpreter of an environment that has it.

stdin: one JSON string a line. stdout: for each a JSON list of (start, end, our name), in bytes; at last the seconds.
Its recognisers of patterns only: a blank English pipeline stands for the language model, whose lemmas (for context
words) are the words in small letters. What scores 0.4 or more counts; at its default, 0, everything weak would.
"""
# mypy: ignore-errors

import json
import sys
import time

import spacy
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine

NAMES = {
    "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "payment_card",
    "US_SSN": "us_ssn",
    "US_ITIN": "us_ssn",
    "IBAN_CODE": "iban",
    "PHONE_NUMBER": "phone",
    "IP_ADDRESS": "ipv4",
}
THRESHOLD = 0.4


@spacy.Language.component("small_letters")
def small_letters(document):
    for token in document:
        token.lemma_ = token.lower_
    return document


class Blank(SpacyNlpEngine):
    def load(self):
        self.nlp = {"en": spacy.blank("en")}
        self.nlp["en"].add_pipe("small_letters")


def main():
    engine = Blank(models=[{"lang_code": "en", "model_name": "blank"}])
    engine.load()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    texts = [json.loads(line) for line in sys.stdin]
    begun = time.perf_counter()
    answers = [analyzer.analyze(text, "en", entities=list(NAMES), score_threshold=THRESHOLD) for text in texts]
    seconds = time.perf_counter() - begun
    for text, found in zip(texts, answers, strict=True):
        spans = []
        for one in found:
            name = (
                "ipv6"
                if one.entity_type == "IP_ADDRESS" and ":" in text[one.start : one.end]
                else NAMES[one.entity_type]
            )
            spans.append((len(text[: one.start].encode()), len(text[: one.end].encode()), name))
        print(json.dumps(spans))
    print(seconds)


if __name__ == "__main__":
    main()
