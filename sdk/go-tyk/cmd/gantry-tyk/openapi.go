package main

import "go/ast"

// newerKin is the kin-openapi of sources that are written for what it became, where the author names none: the
// last one that asks for no newer Go than plugins may be written in.
const newerKin = "v0.128.0"

// newerNames are what kin-openapi has had since paths, responses and types of a document are objects with
// methods, by the field that holds one; before, they were maps and texts.
var newerNames = map[string][]string{
	"Paths":     {"Map", "Value", "Set", "Len", "Delete"},
	"Responses": {"Map", "Value", "Set", "Len", "Delete", "Status"},
	"Callbacks": {"Map", "Value", "Set", "Len", "Delete"},
	"Type":      {"Is", "Includes", "Permits", "Slice"},
}

// isForNewerKin says whether sources use a document as kin-openapi has it by now.
func isForNewerKin(sources []source) bool {
	found := false
	for i := range sources {
		in := &sources[i]
		ast.Inspect(in.file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return !found
			}
			if path, name := in.selected(selector); path == kinPath+"/openapi3" {
				found = found || contains([]string{"NewPaths", "NewResponses", "NewCallback", "Types"}, name)
			}
			if field, ok := selector.X.(*ast.SelectorExpr); ok {
				found = found || contains(newerNames[field.Sel.Name], selector.Sel.Name)
			}
			return !found
		})
	}
	return found
}

// raise asks for the newer kin-openapi.
func raise(needs []requirement) {
	for i := range needs {
		if needs[i].Path == kinPath {
			needs[i].Version = newerKin
		}
	}
}
