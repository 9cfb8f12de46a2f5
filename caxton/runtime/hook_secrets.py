"""Secrets of triggers: which a customer may use, and whether they are there."""

from caxton.adapters.secrets import SECRETS
from caxton.domain.errors import SecretMissing
from caxton.domain.hook_signatures import key_of
from caxton.domain.triggers import Scheme, secret_problem


def hook_secret_problem(home: str, customer: str, scheme: Scheme, reference: str) -> str | None:
    """Why a trigger of `customer`, signed by `scheme`, cannot use the secret at `reference`; None if it can.

    Args:
        home: the server's own customer.
        customer: whose trigger it is.
        scheme: how its deliveries are signed.
        reference: where the secret is.
    """
    wrong = secret_problem(reference, customer, is_home=customer == home)
    if wrong is not None:
        return f"a trigger may not use this secret: {wrong}"
    try:
        secret = SECRETS.get(reference).get_secret_value()
        key_of(scheme, secret)
    except SecretMissing as error:
        return error.message
    except ValueError as error:
        return f"what {reference} holds is no secret to sign with: {error}"
    return None
