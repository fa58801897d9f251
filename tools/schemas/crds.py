"""Splits a stream of YAML objects: those of the Prometheus operator are judged by its CRDs, strictly; the others go to standard output.

python tools/schemas/crds.py FOLDER <objects: FOLDER holds the CRDs (tools/build prometheus-operator-crds).
Strictly means that an unknown field is an error: the API server drops it without a word.
"""

import pathlib
import sys

import jsonschema
import yaml

GROUP = "monitoring.coreos.com/"


def closed(schema):
    """The schema, so that an object with fields of its own has no others."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        result = {"type": ["integer", "string"]}
    return result


def schemas(folder):
    """The schema of each version and kind."""
    found = {}
    for path in pathlib.Path(folder).glob("monitoring.coreos.com_*.yaml"):
        crd = yaml.safe_load(path.read_text())["spec"]
        for version in crd["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            # The API server checks metadata, not the CRD.
            schema["properties"]["metadata"] = {"type": "object"}
            found[GROUP + version["name"], crd["names"]["kind"]] = jsonschema.Draft202012Validator(schema)
    return found


def main(folder):
    known, wrong, count, others = schemas(folder), [], 0, []
    for value in yaml.safe_load_all(sys.stdin):
        if not value or not value.get("apiVersion", "").startswith(GROUP):
            others.append(value)
            continue
        count += 1
        name = f"{value['kind']} {value['metadata'].get('namespace')}/{value['metadata']['name']}"
        validator = known.get((value["apiVersion"], value["kind"]))
        if validator is None:
            wrong.append(f"{name}: no CRD of {value['apiVersion']} {value['kind']} in {folder}")
            continue
        wrong += [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    yaml.safe_dump_all([value for value in others if value], sys.stdout, sort_keys=False)
    print("\n".join(wrong) or f"CRDs of the Prometheus operator: {count} objects passed", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
