package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// filesMax bounds the files of one package, and packagesMax the packages of one plugin.
const (
	filesMax    = 2000
	packagesMax = 2000
)

// source is one file with what its imports are called in it.
type source struct {
	name    string // relative to the scanned folder where it lies below it
	file    *ast.File
	imports map[string]string // local name to path
	dotted  map[string]bool   // paths imported into the file's own names
	aliases map[string]alias  // names of the package for other types
}

// alias is what a name stands for, as the file that declares it writes that.
type alias struct {
	in *source
	of ast.Expr
}

// reader reads packages for one build target.
type reader struct {
	base   string
	target build.Context
	files  *token.FileSet
	// own are the modules whose source is the author's.
	own locals
	// requires are modules that the author's module file requires.
	requires []string
}

func newReader(base, goos, goarch string, tags []string) *reader {
	target := build.Default
	target.GOOS, target.GOARCH, target.CgoEnabled, target.BuildTags = goos, goarch, true, tags
	return &reader{base: base, target: target, files: token.NewFileSet()}
}

// read parses the files of a folder that the target takes. Tests are no part of a plugin.
func (r *reader) read(folder string) ([]source, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var sources []source
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if matches, err := r.target.MatchFile(folder, name); err != nil || !matches {
			continue
		}
		if len(sources) == filesMax {
			return nil, fmt.Errorf("%s: expected at most %d Go files", folder, filesMax)
		}
		path := filepath.Join(folder, name)
		shown := path
		if below, err := filepath.Rel(r.base, path); err == nil {
			shown = below
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		// What does not parse is the compiler's to tell, with all that is wrong.
		file, _ := parser.ParseFile(r.files, shown, text, parser.ParseComments)
		if file == nil || ignored(file) {
			continue
		}
		read := source{name: shown, file: file, imports: map[string]string{}, dotted: map[string]bool{}}
		read.resolveImports()
		sources = append(sources, read)
	}
	shareAliases(sources)
	return sources, nil
}

// shareAliases lets every file of a package know its aliases.
func shareAliases(sources []source) {
	aliases := map[string]alias{}
	for i := range sources {
		sources[i].aliases = aliases
		for _, declaration := range sources[i].file.Decls {
			declared, ok := declaration.(*ast.GenDecl)
			if !ok || declared.Tok != token.TYPE {
				continue
			}
			for _, spec := range declared.Specs {
				if spec, ok := spec.(*ast.TypeSpec); ok && spec.Assign.IsValid() {
					aliases[spec.Name.Name] = alias{&sources[i], spec.Type}
				}
			}
		}
	}
}

// ignored tells of the constraint by which authors keep helper programs beside a plugin.
func ignored(file *ast.File) bool {
	for _, group := range file.Comments {
		if group.Pos() > file.Package {
			break
		}
		for _, line := range group.List {
			if !constraint.IsGoBuild(line.Text) {
				continue
			}
			parsed, err := constraint.Parse(line.Text)
			if err == nil && parsed.String() == "ignore" {
				return true
			}
		}
	}
	return false
}

func (s *source) resolveImports() {
	for _, spec := range s.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		switch {
		case spec.Name == nil:
			s.imports[baseName(path)] = path
		case spec.Name.Name == ".":
			s.dotted[path] = true
		case spec.Name.Name != "_":
			s.imports[spec.Name.Name] = path
		}
	}
}

// baseName is what a package is most likely called: the last part of its path that is no major version.
func baseName(path string) string {
	parts := strings.Split(path, "/")
	last := parts[len(parts)-1]
	if len(parts) > 1 && isMajor(last) {
		last = parts[len(parts)-2]
	}
	if i := strings.LastIndex(last, ".v"); i > 0 {
		last = last[:i]
	}
	return last
}

func isMajor(part string) bool {
	if len(part) < 2 || part[0] != 'v' {
		return false
	}
	_, err := strconv.Atoi(part[1:])
	return err == nil
}

// paths of everything that the files import, sorted.
func importsOf(sources []source) []string {
	seen := map[string]bool{}
	for _, source := range sources {
		for _, spec := range source.file.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err == nil {
				seen[path] = true
			}
		}
	}
	return sorted(seen)
}

func sorted(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for each := range set {
		list = append(list, each)
	}
	sort.Strings(list)
	return list
}

// selected gives import path and name of `pkg.Name`, unless pkg is a variable of the code's own.
func (s *source) selected(expression ast.Expr) (path, name string) {
	selector, ok := expression.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	ident, ok := selector.X.(*ast.Ident)
	if !ok || ident.Obj != nil {
		return "", ""
	}
	return s.imports[ident.Name], selector.Sel.Name
}
