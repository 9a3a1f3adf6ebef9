package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"strconv"
	"strings"
)

// ending names calls that mean to end the process or take its signals, by import path; every other one of the
// package is fine, and an empty list means all of it.
var ending = map[string]struct {
	code  string
	names []string
}{
	"os":        {"PROCESS_EXIT", []string{"Exit"}},
	"log":       {"PROCESS_EXIT", []string{"Fatal", "Fatalf", "Fatalln"}},
	"syscall":   {"PROCESS_EXIT", []string{"Exit", "Kill", "Exec"}},
	"os/signal": {"SIGNALS_TAKEN", nil},
}

const (
	// failing is what ending the process does where os.Exit is caught.
	failing   = " fails the call with 500, or ends the goroutine that calls it"
	answering = "answer the request with an error instead"
	// refusing is what it does before there are calls.
	refusing = " in init fails the load of the library, in the gateways that it happens in"
	lasting  = "go on without what is missing, and answer requests with an error until it is there"
)

// loggers names functions that make a logger whose fatal lines mean to end the process.
var loggers = map[string][]string{
	"log":             {"New"},
	logrusPath:        {"New"},
	"go.uber.org/zap": {"New", "NewDevelopment", "NewExample", "NewProduction"},
}

// opening names functions whose first arguments are paths.
var opening = map[string][]string{
	"os":         {"Open", "OpenFile", "ReadFile", "WriteFile", "Create", "ReadDir", "Stat", "Mkdir", "MkdirAll"},
	"io/ioutil":  {"ReadFile", "WriteFile", "ReadDir"},
	"crypto/tls": {"LoadX509KeyPair"},
	"plugin":     {"Open"},
}

// warned finds code that can end a gateway's worker, or that finds other files there than at home.
func (r *reader) warned(sources []source) (found []finding) {
	guarded, own := guardedFunctions(sources), ownLoggers(sources)
	for i := range sources {
		in := &sources[i]
		for _, declaration := range in.file.Decls {
			declared, ok := declaration.(*ast.FuncDecl)
			// A plugin's own main never runs in a gateway.
			if ok && declared.Recv == nil && declared.Name.Name == "main" && in.file.Name.Name == "main" {
				continue
			}
			isInit := ok && declared.Recv == nil && declared.Name.Name == "init"
			ast.Inspect(declaration, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.GoStmt:
					if !isGuarded(node.Call, guarded) {
						found = append(found, refusal(r.files.Position(node.Pos()), "GOROUTINE_UNGUARDED",
							"a panic in this goroutine ends the gateway's worker", "begin it with a deferred recover"))
					}
				case *ast.CallExpr:
					warning := in.call(node)
					if warning == nil {
						warning = fatalOf(node, own)
					}
					if warning != nil && isInit {
						warning.Message = strings.Replace(warning.Message, failing, refusing, 1)
						warning.Advice = strings.Replace(warning.Advice, answering, lasting, 1)
					}
					if warning != nil {
						at := r.files.Position(node.Pos())
						warning.File, warning.Line, warning.Column = at.Filename, at.Line, at.Column
						found = append(found, *warning)
					}
				}
				return true
			})
		}
	}
	return found
}

func (s *source) call(call *ast.CallExpr) *finding {
	of, name := s.selected(call.Fun)
	if of == "" {
		return nil
	}
	shown := baseName(of) + "." + name
	if ends, listed := ending[of]; listed && (ends.names == nil || contains(ends.names, name)) {
		advice := answering
		if ends.code == "SIGNALS_TAKEN" {
			advice = "leave signals to the gateway; the request's context ends when it stops"
		}
		does := " acts on the whole worker of the gateway"
		if of == "log" || shown == "os.Exit" {
			does = failing
		}
		return &finding{Code: ends.code, Message: shown + does, Advice: advice}
	}
	if contains(opening[of], name) && len(call.Args) > 0 {
		literal, ok := call.Args[0].(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return nil
		}
		if file, err := strconv.Unquote(literal.Value); err == nil && !path.IsAbs(file) {
			return &finding{Code: "PATH_RELATIVE",
				Message: fmt.Sprintf("%s(%q): a gateway's working directory is its own", shown, file),
				Advice:  "give an absolute path, embed the file, or use config_data"}
		}
	}
	return nil
}

// ownLoggers are names of variables that begin as loggers of the plugin's own.
func ownLoggers(sources []source) map[string]bool {
	own := map[string]bool{}
	for i := range sources {
		in := &sources[i]
		makes := func(values []ast.Expr) bool {
			if len(values) == 0 {
				return false
			}
			call, ok := values[0].(*ast.CallExpr)
			if !ok {
				return false
			}
			path, name := in.selected(call.Fun)
			return contains(loggers[path], name)
		}
		ast.Inspect(in.file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ValueSpec:
				if makes(node.Values) {
					own[node.Names[0].Name] = true
				}
			case *ast.AssignStmt:
				if name, ok := node.Lhs[0].(*ast.Ident); ok && makes(node.Rhs) {
					own[name.Name] = true
				}
			}
			return true
		})
	}
	return own
}

// fatalOf finds a fatal line of one of them.
func fatalOf(call *ast.CallExpr, own map[string]bool) *finding {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !strings.HasPrefix(selector.Sel.Name, "Fatal") {
		return nil
	}
	logger, ok := selector.X.(*ast.Ident)
	if !ok || !own[logger.Name] {
		return nil
	}
	return &finding{Code: "PROCESS_EXIT",
		Message: logger.Name + "." + selector.Sel.Name + failing, Advice: answering}
}

func contains(list []string, name string) bool {
	for _, each := range list {
		if each == name {
			return true
		}
	}
	return false
}

// guardedFunctions are those of the package that defer a recover first of all.
func guardedFunctions(sources []source) map[string]bool {
	recovering, guarded := map[string]bool{}, map[string]bool{}
	each := func(do func(*ast.FuncDecl)) {
		for _, source := range sources {
			for _, declaration := range source.file.Decls {
				if declared, ok := declaration.(*ast.FuncDecl); ok && declared.Body != nil {
					do(declared)
				}
			}
		}
	}
	each(func(declared *ast.FuncDecl) { recovering[declared.Name.Name] = recovers(declared.Body) })
	each(func(declared *ast.FuncDecl) { guarded[declared.Name.Name] = defersRecover(declared.Body, recovering) })
	for name, does := range recovering {
		if does {
			guarded["defer "+name] = true
		}
	}
	return guarded
}

// isGuarded tells whether what a go statement starts defers a recover.
func isGuarded(call *ast.CallExpr, guarded map[string]bool) bool {
	switch started := call.Fun.(type) {
	case *ast.FuncLit:
		recovering := map[string]bool{}
		for name := range guarded {
			if strings.HasPrefix(name, "defer ") {
				recovering[strings.TrimPrefix(name, "defer ")] = true
			}
		}
		return defersRecover(started.Body, recovering)
	case *ast.Ident:
		return guarded[started.Name]
	case *ast.SelectorExpr:
		return guarded[started.Sel.Name]
	}
	return false
}

func defersRecover(body *ast.BlockStmt, recovering map[string]bool) bool {
	for _, statement := range body.List {
		deferred, ok := statement.(*ast.DeferStmt)
		if !ok {
			continue
		}
		switch called := deferred.Call.Fun.(type) {
		case *ast.FuncLit:
			if recovers(called.Body) {
				return true
			}
		case *ast.Ident:
			if recovering[called.Name] {
				return true
			}
		case *ast.SelectorExpr:
			if recovering[called.Sel.Name] {
				return true
			}
		}
	}
	return false
}

func recovers(body ast.Node) (found bool) {
	ast.Inspect(body, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok {
			if ident, ok := call.Fun.(*ast.Ident); ok && ident.Name == "recover" {
				found = true
			}
		}
		return !found
	})
	return found
}
