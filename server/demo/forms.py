"""The app configs of the story: forms for a household and its people, in Form.io's format."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from server.demo.people import Household, Person

HOUSEHOLD = "household"
INDIVIDUAL = "individual"

Component = dict[str, Any]
Data = dict[str, Any]


def programme(config_id: str, name: str, description: str) -> Data:
    """An app config. Two people of the same name and birthday, or of the same national id, may be one."""
    return {
        "id": config_id,
        "name": name,
        "description": description,
        "version": "1.0.0",
        "entityForms": [
            {"name": HOUSEHOLD, "title": "Household", "formio": _form(_household_questions())},
            {"name": INDIVIDUAL, "title": "Person", "dependsOn": HOUSEHOLD, "formio": _form(_individual_questions())},
        ],
        "duplicates": {
            "rules": [
                {"form": INDIVIDUAL, "fields": ["name", "dateOfBirth"]},
                {"form": INDIVIDUAL, "fields": ["nationalId"]},
            ]
        },
    }


def household_form(household: Household) -> Data:
    """A filled-in form."""
    return {
        "name": household.name,
        "entityName": HOUSEHOLD,
        "village": household.village,
        "language": household.culture.language,
        "roof": household.roof,
        "water": household.water,
    }


def person_form(person: Person) -> Data:
    """A filled-in form; questions that were left empty are not in it."""
    answers = {
        "name": person.name,
        "entityName": INDIVIDUAL,
        "sex": person.sex,
        "dateOfBirth": person.born.isoformat(),
        "relationToHead": person.relation,
        "occupation": person.occupation,
        "phone": person.phone,
        "nationalId": person.national_id,
    }
    return {question: answer for question, answer in answers.items() if answer}


def entry_of(form: Data) -> Data:
    """A form as the entry of a new member, as phones in use list it."""
    return {"guid": str(uuid4()), **form}


def _household_questions() -> list[Component]:
    return [
        _text("name", "Name of the household", required=True),
        _text("village", "Village", required=True),
        _text("language", "Language spoken at home"),
        _choice("roof", "Roof", ("thatch", "iron sheets", "tiles", "concrete")),
        _choice("water", "Source of water", ("river", "open well", "hand pump", "piped")),
    ]


def _individual_questions() -> list[Component]:
    return [
        _text("name", "Full name", required=True),
        _choice("sex", "Sex", ("female", "male"), required=True),
        {**_question("datetime", "dateOfBirth", "Date of birth", required=True), "enableTime": False},
        _choice(
            "relationToHead", "Relation to the head of the household", ("head", "spouse", "daughter", "son", "mother")
        ),
        _text("occupation", "Occupation"),
        _choice("schooling", "Schooling", ("none", "primary", "secondary", "higher")),
        _question("phoneNumber", "phone", "Phone"),
        _text("nationalId", "Number of the national identity card"),
    ]


def _form(questions: Iterable[Component]) -> Component:
    submit = {"type": "button", "key": "submit", "label": "Save", "action": "submit", "input": True}
    return {"display": "form", "components": [*questions, submit]}


def _question(type_: str, key: str, label: str, *, required: bool = False) -> Component:
    return {"type": type_, "key": key, "label": label, "input": True, "validate": {"required": required}}


def _text(key: str, label: str, *, required: bool = False) -> Component:
    return _question("textfield", key, label, required=required)


def _choice(key: str, label: str, values: Iterable[str], *, required: bool = False) -> Component:
    choices = [{"label": value.capitalize(), "value": value} for value in values]
    return {**_question("select", key, label, required=required), "data": {"values": choices}}
