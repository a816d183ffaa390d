import unicodedata

import email_validator

# Closed networks use addresses such as ann@corp.local, which email_validator refuses. It has no
# parameter to accept them, so this changes the library for the whole process.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def normalize_email(email: str) -> str:
    """Return the address in Unicode NFC, with its domain in lower case and without Punycode
    (RFC 6531, RFC 5891).

    Raises:
        ValueError: the text is not an e-mail address.
    """
    try:
        return email_validator.validate_email(
            email, check_deliverability=False, globally_deliverable=False
        ).normalized
    except email_validator.EmailNotValidError:
        raise ValueError("This is not a valid e-mail address.") from None


def account_key(email: str) -> str:
    """Return the key of an account: accounts are found, locked, limited and unique by it.

    E-mails that differ only in case or in the spelling of the domain have the same key. Text that
    is not an e-mail has a key that no account has, or that of an e-mail that differs in case only.
    """
    try:
        email = normalize_email(email)
    except ValueError:
        return _fold(email)
    name, _, domain = email.rpartition("@")
    return f"{_fold(name)}@{domain}"


def _fold(text: str) -> str:
    """Fold the case of each character to one character (Unicode's simple case folding).

    The full folding would make two characters of one, so that ß equals ss.
    """
    folded = map(_fold_character, unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", "".join(folded))


def _fold_character(character: str) -> str:
    folded = character.casefold()
    return folded if len(folded) == 1 else character.lower()
