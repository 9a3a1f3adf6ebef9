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

// namedShape is the shape of the function by whose name a variable begins, or that the function by whose name
// it begins makes: one of the package itself, or of another package of the plugin's own. A method is known by
// its name alone.
func (r *reader) namedShape(sources []source, in *source, value ast.Expr) shape {
	if call, ok := value.(*ast.CallExpr); ok {
		if declared, where := r.declared(sources, in, call.Fun); declared != nil && declared.Recv == nil {
			return where.resultShape(declared.Type, sources)
		}
		// A conversion to a type of the package's.
		return typeShape(sources, call.Fun)
	}
	if declared, where := r.declared(sources, in, value); declared != nil {
		return where.shapeOf(declared.Type)
	}
	return otherShape
}

// declared is the function or method that a name stands for, where its source is the author's.
func (r *reader) declared(sources []source, in *source, named ast.Expr) (*ast.FuncDecl, *source) {
	if name, ok := named.(*ast.Ident); ok {
		return functionOf(sources, name.Name, false)
	}
	selector, ok := named.(*ast.SelectorExpr)
	if !ok {
		return nil, nil
	}
	path, name := in.selected(selector)
	if path == "" {
		return r.method(sources, selector.Sel.Name)
	}
	if folder, isOwn := r.own.folderOf(path); isOwn {
		// A folder that is missing is Go's to tell.
		others, _ := r.read(folder)
		return functionOf(others, name, false)
	}
	return nil, nil
}

// method is the first method of a name that a hook could be, of the package or of those of the author's that
// it imports.
func (r *reader) method(sources []source, name string) (*ast.FuncDecl, *source) {
	if declared, where := functionOf(sources, name, true); declared != nil {
		return declared, where
	}
	for i := range sources {
		for _, imported := range sources[i].file.Imports {
			folder, isOwn := r.own.folderOf(strings.Trim(imported.Path.Value, "`\""))
			if !isOwn {
				continue
			}
			others, _ := r.read(folder)
			if declared, where := functionOf(others, name, true); declared != nil {
				return declared, where
			}
		}
	}
	return nil, nil
}

// functionOf is a package's function, or the method of a name that has the shape of a hook.
func functionOf(sources []source, name string, isMethod bool) (*ast.FuncDecl, *source) {
	for i := range sources {
		for _, declaration := range sources[i].file.Decls {
			declared, ok := declaration.(*ast.FuncDecl)
			if !ok || declared.Name.Name != name || (declared.Recv != nil) != isMethod {
				continue
			}
			if !isMethod || sources[i].shapeOf(declared.Type) != otherShape {
				return declared, &sources[i]
			}
		}
	}
	return nil, nil
}

// resultShape is the shape of the only thing that a function gives.
func (s *source) resultShape(signature *ast.FuncType, sources []source) shape {
	if signature.Results.NumFields() != 1 {
		return otherShape
	}
	result := signature.Results.List[0].Type
	if shape := s.valueShape(result, nil); shape != otherShape {
		return shape
	}
	return typeShape(sources, result)
}

// typeShape is the shape of a function type that the package names.
func typeShape(sources []source, named ast.Expr) shape {
	name, ok := named.(*ast.Ident)
	if !ok {
		return otherShape
	}
	for i := range sources {
		for _, declaration := range sources[i].file.Decls {
			declared, ok := declaration.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range declared.Specs {
				if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.Name == name.Name {
					return sources[i].valueShape(spec.Type, nil)
				}
			}
		}
	}
	return otherShape
}
