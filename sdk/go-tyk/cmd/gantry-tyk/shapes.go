package main

import (
	"go/ast"
	"strings"
)

const httpPath = "net/http"

// shape is what a function takes, as far as hooks ask.
type shape int

const (
	otherShape shape = iota
	requestShape
	responseShape
)

// shapeOf reads a signature: nothing but the two that Tyk calls is a hook.
func (s *source) shapeOf(signature *ast.FuncType) shape {
	if signature == nil || signature.Results.NumFields() > 0 || signature.TypeParams.NumFields() > 0 {
		return otherShape
	}
	var parameters []ast.Expr
	for _, field := range signature.Params.List {
		count := len(field.Names)
		if count == 0 {
			count = 1
		}
		for i := 0; i < count; i++ {
			parameters = append(parameters, field.Type)
		}
	}
	is := func(i int, pointer bool, name string) bool { return s.isHTTP(parameters[i], pointer, name) }
	switch {
	case len(parameters) == 2 && is(0, false, "ResponseWriter") && is(1, true, "Request"):
		return requestShape
	case len(parameters) == 3 && is(0, false, "ResponseWriter") && is(1, true, "Response") && is(2, true, "Request"):
		return responseShape
	}
	return otherShape
}

// takesRecord tells whether a function is one that Tyk calls with what it records of a request.
func (s *source) takesRecord(signature *ast.FuncType) bool {
	if signature.Params.NumFields() != 1 {
		return false
	}
	star, ok := signature.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	path, name := s.selected(star.X)
	return strings.HasSuffix(path, "/analytics") && (name == "AnalyticsRecord" || name == "Record")
}

// isHTTP tells whether a type is one of net/http, whatever the package is called in this file.
func (s *source) isHTTP(expression ast.Expr, pointer bool, name string) bool {
	s, expression = s.resolved(expression)
	if pointer {
		star, ok := expression.(*ast.StarExpr)
		if !ok {
			return false
		}
		s, expression = s.resolved(star.X)
	}
	if ident, ok := expression.(*ast.Ident); ok {
		return s.dotted[httpPath] && ident.Name == name && ident.Obj == nil
	}
	path, found := s.selected(expression)
	return path == httpPath && found == name
}

// resolved is what an alias stands for, and where that is written; anything else is itself.
func (s *source) resolved(expression ast.Expr) (*source, ast.Expr) {
	const deep = 16 // longer than any chain that is no circle
	for i := 0; i < deep; i++ {
		ident, ok := expression.(*ast.Ident)
		if !ok {
			break
		}
		found, isAlias := s.aliases[ident.Name]
		if !isAlias {
			break
		}
		s, expression = found.in, found.of
	}
	return s, expression
}

// valueShape is the shape of a variable: by its type, or by the function that it begins with.
func (s *source) valueShape(declared, value ast.Expr) shape {
	for _, expression := range []ast.Expr{declared, value} {
		switch expression := expression.(type) {
		case *ast.FuncType:
			return s.shapeOf(expression)
		case *ast.FuncLit:
			return s.shapeOf(expression.Type)
		case *ast.CallExpr:
			if path, name := s.selected(expression.Fun); path == httpPath && name == "HandlerFunc" {
				return requestShape
			}
		case *ast.SelectorExpr:
			if path, name := s.selected(expression); path == httpPath && name == "HandlerFunc" {
				return requestShape
			}
		}
	}
	return otherShape
}

// namedShape is the shape of the function by whose name a variable begins: one of the package itself, or of
// another package of the plugin's own.
func (r *reader) namedShape(sources []source, in *source, value ast.Expr) shape {
	if name, ok := value.(*ast.Ident); ok {
		return functionShape(sources, name.Name)
	}
	path, name := in.selected(value)
	folder, isOwn := r.own.folderOf(path)
	if !isOwn {
		return otherShape
	}
	// A folder that is missing is Go's to tell.
	others, err := r.read(folder)
	if err != nil {
		return otherShape
	}
	return functionShape(others, name)
}

// functionShape is the shape of a package's function.
func functionShape(sources []source, name string) shape {
	for i := range sources {
		for _, declaration := range sources[i].file.Decls {
			declared, ok := declaration.(*ast.FuncDecl)
			if ok && declared.Recv == nil && declared.Name.Name == name {
				return sources[i].shapeOf(declared.Type)
			}
		}
	}
	return otherShape
}
