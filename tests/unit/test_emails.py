import sys
import unicodedata

import pytest

from taskapi.security.emails import account_key

CHARACTERS = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if character.casefold() != character or character.upper() != character
]
"""Characters that another case exists of."""


def key(name: str) -> str:
    return account_key(f"{name}@example.com").rpartition("@")[0]


def test_a_character_has_one_key_in_either_case() -> None:
    """Characters that are several in upper case, such as ß, and the dotless ı are on their own."""
    cased = [letter for letter in CHARACTERS if letter.lower() != letter.upper()]
    several = [letter for letter in cased if len(unicodedata.normalize("NFC", letter.upper())) > 1]
    letters = [letter for letter in cased if letter not in several and letter != "ı"]
    assert len(letters) > 2000
    assert [letter for letter in letters if key(letter.lower()) != key(letter.upper())] == []


@pytest.mark.parametrize("name", ["ß", "ı", "ﬁ"])
def test_a_character_that_is_another_in_upper_case_keeps_its_key(name: str) -> None:
    assert key(name) == name


def test_a_key_is_its_own_key() -> None:
    keys = {letter: key(letter) for letter in CHARACTERS}
    assert [letter for letter in keys if key(keys[letter]) != keys[letter]] == []


def test_text_that_is_no_email_has_a_key_too() -> None:
    assert account_key("Not an E-mail") == "not an e-mail"
