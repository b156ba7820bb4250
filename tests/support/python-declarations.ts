/** The constants that the worker's Python sources declare, read without running them. */
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { environmentFolder, interpreterOf } from "../../setup/python.mjs";

type Constants = Record<string, unknown>;

export interface PythonDeclarations {
  /** By module and name; what is no literal is left out. A call's arguments stand for it. */
  modules: Record<string, Constants>;
}

const reader = `
import ast, json, pathlib, sys

modules = {}

def value_of(node):
    if isinstance(node, ast.Call):
        return [value_of(argument) for argument in node.args]
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.LShift)):
        left, right = value_of(node.left), value_of(node.right)
        return left * right if isinstance(node.op, ast.Mult) else left << right
    return ast.literal_eval(node)

def assigned(constants, name, node):
    try:
        value = value_of(node)
        json.dumps(value)
        constants[name] = value
    except (ValueError, TypeError):
        pass

for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    constants = modules[str(path.relative_to(sys.argv[1]))] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            assigned(constants, ast.unparse(node.target), node.value)
        elif isinstance(node, ast.Assign):
            assigned(constants, ast.unparse(node.targets[0]), node.value)
print(json.dumps({"modules": modules}))
`;

const sources = resolve(import.meta.dirname, "../../python/mlx_serving");

export function pythonDeclarations(): PythonDeclarations {
  const python = interpreterOf(environmentFolder());
  return JSON.parse(execFileSync(python, ["-c", reader, sources], { encoding: "utf8" }));
}

/** The constants of the one module that declares `name`, wherever it lies. */
export function moduleWith(name: string, { modules }: PythonDeclarations): Constants {
  const found = Object.values(modules).filter((constants) => Object.hasOwn(constants, name));
  if (found.length !== 1) throw new Error(`${found.length} modules declare ${name}`);
  return found[0]!;
}
