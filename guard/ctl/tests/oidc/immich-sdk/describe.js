// Prints what Immich's SDK says about the configuration file, or how js-yaml reads documents. For guard/ctl/tests/oidc/immich_schema.rs.
//   node describe.js types           {"oauth.timeout": {"type": "number"}, ...}
//   node describe.js yaml < texts    a list of texts -> a list of {"value": ...} or {"error": ...}
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import yaml from 'js-yaml';
import ts from 'typescript';

const types = () => {
  const sdk = path.dirname(createRequire(import.meta.url).resolve('@immich/sdk'));
  const file = path.join(sdk, 'fetch-client.d.ts');
  const program = ts.createProgram([file], { strict: true, skipLibCheck: true });
  const checker = program.getTypeChecker();
  const alias = program.getSourceFile(file).statements.find((node) => ts.isTypeAliasDeclaration(node) && node.name.text === 'AdminConfigDto');
  const found = {};

  const words = (type) => {
    const members = type.isUnion() ? type.types : [type];
    const literals = members.filter((member) => member.isLiteral()).map((member) => member.value);
    return literals.length === members.length ? literals : undefined;
  };
  const describe = (type) => {
    if (checker.isArrayType(type)) {
      return { list: describe(checker.getTypeArguments(type)[0]) };
    }
    return words(type) ? { words: words(type) } : { type: checker.typeToString(type) };
  };
  const walk = (type, prefix) => {
    for (const property of checker.getPropertiesOfType(type)) {
      const at = prefix ? `${prefix}.${property.name}` : property.name;
      const whole = checker.getTypeOfSymbol(property);
      // Left out is not a value: what stands in a file has one.
      const value = property.flags & ts.SymbolFlags.Optional ? checker.getNonNullableType(whole) : whole;
      if (value.flags & ts.TypeFlags.Object && !checker.isArrayType(value)) {
        walk(value, at);
      } else {
        found[at] = describe(value);
      }
    }
  };
  walk(checker.getTypeAtLocation(alias), '');
  return found;
};

const read = (text) => {
  try {
    return { value: yaml.load(text) };
  } catch (error) {
    return { error: error.message };
  }
};

const answer = process.argv[2] === 'types' ? types() : JSON.parse(readFileSync(0, 'utf8')).map((text) => read(text));
console.log(JSON.stringify(answer));
