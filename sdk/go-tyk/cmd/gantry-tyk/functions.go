package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"sort"
	"strings"
	"unicode/utf8"
)

// function is one that hooks may name.
type function struct {
	Name     string `json:"name"`
	Response bool   `json:"response"`
	Inline   bool   `json:"inline"`
	Body     bool   `json:"body"`
	File     string `json:"file"`
	Line     int    `json:"line"`
}

// finding is something about a place in the source.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
}

// skipped is an exported function that no hook can name, and why.
type skipped struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// offer is what the package main offers to hooks.
type offer struct {
	functions []function
	skipped   []skipped
	refusals  []finding
	hasMain   bool
	// logs says whether the plugin imports logrus.
	logs bool
}

const directive = "//gantry:"

// nameBytesMax bounds the name of a function, as everywhere.
const nameBytesMax = 128

// offered sorts the functions of the package main by shape.
func (r *reader) offered(sources []source) offer {
	var found offer
	seen := map[string]token.Position{}
	used := usedNames(sources)
	for i := range sources {
		for _, declaration := range sources[i].file.Decls {
			switch declaration := declaration.(type) {
			case *ast.FuncDecl:
				r.function(&found, &sources[i], declaration, seen, used)
			case *ast.GenDecl:
				r.variables(&found, sources, i, declaration, used)
			}
		}
	}
	sort.Slice(found.functions, func(i, j int) bool { return found.functions[i].Name < found.functions[j].Name })
	return found
}

func (r *reader) function(found *offer, in *source, declared *ast.FuncDecl, seen map[string]token.Position, used map[string]int) {
	name, at := declared.Name.Name, r.files.Position(declared.Name.Pos())
	shape := in.shapeOf(declared.Type)
	if declared.Recv != nil {
		// A method that the code itself uses, or http.Handler's, is a helper; one that nobody names was
		// meant as a hook.
		if ast.IsExported(name) && shape != otherShape && name != "ServeHTTP" && used[name] == 0 {
			found.refusals = append(found.refusals, notAFunction(at, "a method", name))
		}
		return
	}
	if earlier, twice := seen[name]; twice && name != "init" && name != "_" {
		found.refusals = append(found.refusals, refusal(at, "DUPLICATE_FUNCTION",
			fmt.Sprintf("func %s: expected one, found another in %s", name, earlier), "remove or rename one of them"))
		return
	}
	seen[name] = at
	if name == "main" {
		found.hasMain = true
		return
	}
	inline, body, unknown := directives(declared.Doc)
	if unknown != nil {
		found.refusals = append(found.refusals, refusal(r.files.Position(unknown.Pos()), "DIRECTIVE_UNKNOWN",
			fmt.Sprintf("expected //gantry:inline or //gantry:inline body, found %q", unknown.Text), ""))
	}
	if shape != otherShape && ast.IsExported(name) && isPlain(name) {
		found.functions = append(found.functions, function{name, shape == responseShape, inline, body, at.Filename, at.Line})
		return
	}
	if inline {
		found.refusals = append(found.refusals, refusal(at, "DIRECTIVE_UNKNOWN",
			fmt.Sprintf("//gantry:inline before %s, which is no function that hooks can name", name), "remove the directive"))
	}
	switch {
	case ast.IsExported(name):
		reason := "another shape than those of hooks"
		if !isPlain(name) {
			reason = fmt.Sprintf("hooks name functions by at most %d ASCII letters, digits and underscores", nameBytesMax)
		}
		if in.takesRecord(declared.Type) {
			reason = "it is for analytics records, which gateways do not make"
		}
		found.skipped = append(found.skipped, skipped{name, at.Filename, at.Line, reason})
	case shape != otherShape:
		found.skipped = append(found.skipped, skipped{name, at.Filename, at.Line, "not exported"})
	}
}

// isPlain says whether a gateway takes the name.
func isPlain(name string) bool {
	for _, letter := range name {
		if letter >= utf8.RuneSelf {
			return false
		}
	}
	return len(name) <= nameBytesMax
}

func (r *reader) variables(found *offer, sources []source, at int, declared *ast.GenDecl, used map[string]int) {
	in := &sources[at]
	if declared.Tok != token.VAR {
		return
	}
	for _, spec := range declared.Specs {
		spec, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range spec.Names {
			var value ast.Expr
			if i < len(spec.Values) {
				value = spec.Values[i]
			}
			shape := in.valueShape(spec.Type, value)
			if shape == otherShape && spec.Type == nil {
				shape = r.namedShape(sources, in, value)
			}
			if shape == otherShape {
				shape = typeShape(sources, spec.Type)
			}
			if ast.IsExported(name.Name) && shape != otherShape && used[name.Name] == 0 {
				found.refusals = append(found.refusals, notAFunction(r.files.Position(name.Pos()), "a variable", name.Name))
			}
		}
	}
}

func notAFunction(at token.Position, what, name string) finding {
	return refusal(at, "NOT_A_FUNCTION", fmt.Sprintf("%s: expected a function, found %s", name, what),
		fmt.Sprintf("declare it as func %s(...) in package main", name))
}

func refusal(at token.Position, code, message, advice string) finding {
	return finding{at.Filename, at.Line, at.Column, code, message, advice}
}

// directives are lines such as //gantry:inline right before a function.
func directives(doc *ast.CommentGroup) (inline, body bool, unknown *ast.Comment) {
	if doc == nil {
		return false, false, nil
	}
	for _, line := range doc.List {
		if !strings.HasPrefix(line.Text, directive) {
			continue
		}
		words := strings.Fields(strings.TrimPrefix(line.Text, directive))
		switch {
		case len(words) == 1 && words[0] == "inline":
			inline = true
		case len(words) == 2 && words[0] == "inline" && words[1] == "body":
			inline, body = true, true
		default:
			unknown = line
		}
	}
	return inline, body, unknown
}

// usedNames counts how often names are used other than where they are declared.
func usedNames(sources []source) map[string]int {
	used := map[string]int{}
	for i := range sources {
		source := &sources[i]
		ast.Inspect(source.file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				// Another package's name is none of this one's.
				path, _ := source.selected(selector)
				return path == ""
			}
			if ident, ok := node.(*ast.Ident); ok {
				used[ident.Name]++
			}
			return true
		})
		for _, declaration := range source.file.Decls {
			switch declaration := declaration.(type) {
			case *ast.FuncDecl:
				used[declaration.Name.Name]--
			case *ast.GenDecl:
				for _, spec := range declaration.Specs {
					if spec, ok := spec.(*ast.ValueSpec); ok {
						for _, name := range spec.Names {
							used[name.Name]--
						}
					}
				}
			}
		}
	}
	return used
}
