/**
 * The doc comments of the public surface, read with TypeScript's type checker: those of every name that an entry point
 * exports, and of the members of exported interfaces, classes and object types.
 */
import ts from "typescript";

/** A public name and its doc comment. */
export interface PublicDoc {
  /** Where it is declared, from the root of the sources: `base/errors.ts:12`. */
  readonly place: string;
  /** The name, with that of its interface or class: `RemintError.code`. */
  readonly name: string;
  /** The text of the doc comment, without its tags. Empty if there is none. */
  readonly text: string;
  /** Its tags, such as `@throws`, with their texts; and the doc comments inside a type alias, such as those of a union. */
  readonly more: string;
}

/** Returns the docs of everything that the entry points export and `root` declares, each once. */
export function publicDocs(program: ts.Program, entries: readonly string[], root: string): PublicDoc[] {
  const checker = program.getTypeChecker();
  const found = new Map<ts.Symbol, PublicDoc>();

  const add = (symbol: ts.Symbol, name: string): boolean => {
    const declaration = symbol.declarations?.find((node) => node.getSourceFile().fileName.startsWith(root));
    if (declaration === undefined || found.has(symbol) || isHidden(symbol)) return false;
    found.set(symbol, {
      place: placeOf(declaration, root),
      name,
      text: ts.displayPartsToString(symbol.getDocumentationComment(checker)),
      more: [
        ...symbol.getJsDocTags(checker).map((tag) => `@${tag.name} ${ts.displayPartsToString(tag.text)}`),
        ...(ts.isTypeAliasDeclaration(declaration)
          ? (declaration.type.getFullText().match(/\/\*\*.*?\*\//gs) ?? [])
          : []),
      ].join("\n"),
    });
    return true;
  };

  for (const entry of entries) {
    const file = program.getSourceFile(entry);
    const module = file && checker.getSymbolAtLocation(file);
    if (module === undefined) throw new Error(`${entry} is no module of the program`);
    for (const exported of checker.getExportsOfModule(module)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      if (!add(symbol, exported.name)) continue;
      for (const member of membersOf(symbol, checker)) add(member, `${exported.name}${printed(member)}`);
    }
  }
  return [...found.values()];
}

/** The members of an interface, a class (static ones too) or an alias of an object type, inherited ones included. */
function membersOf(symbol: ts.Symbol, checker: ts.TypeChecker): ts.Symbol[] {
  const isClass = (symbol.flags & ts.SymbolFlags.Class) !== 0;
  const isObjectType =
    isClass ||
    (symbol.flags & ts.SymbolFlags.Interface) !== 0 ||
    symbol.declarations?.some((node) => ts.isTypeAliasDeclaration(node) && isObjectTypeNode(node.type)) === true;
  if (!isObjectType) return [];
  const statics = isClass ? checker.getTypeOfSymbol(symbol).getProperties() : [];
  return [...checker.getDeclaredTypeOfSymbol(symbol).getProperties(), ...statics];
}

function isObjectTypeNode(node: ts.TypeNode): boolean {
  return ts.isTypeLiteralNode(node) || (ts.isIntersectionTypeNode(node) && node.types.some(isObjectTypeNode));
}

/** `.name`, or `[Symbol.asyncDispose]`. */
function printed(member: ts.Symbol): string {
  const [name] = (member.declarations ?? []).map((node) => ts.getNameOfDeclaration(node));
  return name !== undefined && ts.isComputedPropertyName(name) ? name.getText() : `.${member.name}`;
}

/**
 * Members that users cannot reach: private ones, the `prototype` of classes, those whose key is a symbol of this package,
 * and those that `stripInternal` removes from the declarations.
 */
function isHidden(symbol: ts.Symbol): boolean {
  if (symbol.flags & ts.SymbolFlags.Prototype) return true;
  return (symbol.declarations ?? []).every((node) => {
    const name = ts.getNameOfDeclaration(node);
    if (name !== undefined && ts.isPrivateIdentifier(name)) return true;
    if (name !== undefined && ts.isComputedPropertyName(name) && ts.isIdentifier(name.expression)) return true;
    return hasPrivateModifier(node) || ts.getJSDocTags(node).some((tag) => tag.tagName.text === "internal");
  });
}

function hasPrivateModifier(node: ts.Declaration): boolean {
  return (ts.getCombinedModifierFlags(node) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) !== 0;
}

function placeOf(node: ts.Declaration, root: string): string {
  const file = node.getSourceFile();
  const start = (ts.getNameOfDeclaration(node) ?? node).getStart(file);
  return `${file.fileName.slice(root.length)}:${file.getLineAndCharacterOfPosition(start).line + 1}`;
}
