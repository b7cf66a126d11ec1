"""The JSON Schema of a run's configuration: what lets an editor of TOML complete and check it."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from agentgym.config.keys import field_docs
from agentgym.config.models import name_of
from agentgym.config.run import EnvSection, RunConfig
from agentgym.envs import ENVS
from agentgym.loading import load_env
from agentgym.loading.unions import OR_USER_CLASS

_NULL = {"const": "null"}
"""TOML has no null; the text stands for it."""


def run_schema(env: str | None = None) -> dict[str, Any]:
    """Return the schema of a whole configuration, by JSON Schema draft 2020-12.

    With an environment `[env]` has its keys and no other; without one it may have any.

    Raises:
        ConfigError, EnvError: there is no such environment.
    """
    generator = _Generator(env)
    schema = generator.generate(RunConfig.__pydantic_core_schema__, mode="validation")
    for key, words in RunConfig.words.items():
        schema["properties"][key]["oneOf"] += [{"const": word} for word in words]
    about = f"agentgym run configuration{f' for {env}' if env else ''}"
    return {"$schema": generator.schema_dialect, "title": about, **schema}


class _Generator(GenerateJsonSchema):
    """Follows the rules of our files where they differ from pydantic's.

    A field is described by the docstring under it, null is a text, and a section that may hold
    one of several things means the default one where its `name` is missing.
    """

    def __init__(self, env: str | None) -> None:
        super().__init__()
        self._ref = env
        self._env = load_env(env, ENVS) if env is not None else None

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        model: type[BaseModel] = schema["cls"]
        if model is EnvSection:
            return self._env_section()
        found = super().model_schema(schema)
        found.pop("title", None)
        _describe(found, model)
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def none_schema(self, schema: core_schema.NoneSchema) -> JsonSchemaValue:
        return dict(_NULL)

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return {"anyOf": [self.generate_inner(schema["schema"]), dict(_NULL)]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        default = schema.get("default")
        if isinstance(default, BaseModel):
            del found["default"]
            inner = schema["schema"]
            own = inner.get("metadata", {}).get(OR_USER_CLASS)
            if own:
                inner = inner["schema"]
            if inner["type"] == "tagged-union":
                kinds = {
                    str(tag): self.generate_inner(kind) for tag, kind in inner["choices"].items()
                }
                found["oneOf"] = [_member(kinds[tag], tag, name_of(type(default))) for tag in kinds]
            if own:
                found = _or_user_class(found, own)
        elif "default" in found:
            found["default"] = _with_nulls(found["default"])
        return found

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        found = super().tagged_union_schema(schema)
        found.pop("discriminator", None)  # a word of OpenAPI's, not of JSON Schema's
        return found

    def _env_section(self) -> JsonSchemaValue:
        id = field_docs(EnvSection)["id"]
        if self._env is None:
            names = {"type": "string", "description": id, "examples": sorted(ENVS)}
            return {"type": "object", "properties": {"id": names}, "required": ["id"]}
        core: Any = self._env.__pydantic_core_schema__
        for each in core.get("definitions", ()):
            self.generate_inner(each)
        while core["type"] != "model":  # validators and definitions stand around it
            core = core["schema"]
        found = self.model_schema(core)
        found["properties"] = {
            "id": {"const": self._ref, "description": id},
            **found.get("properties", {}),
        }
        found["required"] = ["id", *found.get("required", ())]
        return found


def _describe(schema: JsonSchemaValue, model: type[BaseModel]) -> None:
    docs = field_docs(model)
    for name, field in schema.get("properties", {}).items():
        if name in docs:
            field.setdefault("description", docs[name])


def _member(schema: JsonSchemaValue, tag: str, default: str) -> JsonSchemaValue:
    """Return a member of a union; only the default one may leave its `name` out."""
    return schema if tag == default else {"allOf": [schema], "required": ["name"]}


def _or_user_class(schema: JsonSchemaValue, own: Sequence[str]) -> JsonSchemaValue:
    """Return the schema of a union that may also have any keys, under a name that is none of its own."""
    name = {"type": "string", "not": {"enum": list(own)}}
    other = {"type": "object", "properties": {"name": name}, "required": ["name"]}
    about = {key: schema.pop(key) for key in ("description",) if key in schema}
    return {"oneOf": [*schema.get("oneOf", [schema]), other], **about}


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nulls(item) for item in value]
    return "null" if value is None else value
