package main

import (
	"archive/zip"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// goLine is the language of the SDK's modules as plugins see it. From 1.21 on, a module lifts the
// language of whoever requires it, and that would change what an author's code means.
const goLine = "1.20"

// header is the C header, which each cgo package of the SDK finds beside itself.
const header = "c/include/gantry_plugin.h"

// proxyCommand writes the SDK's modules as a folder that serves as a module proxy.
func proxyCommand(arguments []string) (any, error) {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	sdk := flags.String("sdk", "", "the folder of the SDKs")
	out := flags.String("out", "", "the folder to write")
	version := flags.String("version", "", "the version of every module")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	modules, err := embeddedModules(*sdk)
	if err != nil {
		return nil, err
	}
	for _, module := range modules {
		if err := writeModule(*sdk, module, *out, *version); err != nil {
			return nil, fmt.Errorf("%s: %w", module.Path, err)
		}
	}
	return modules, nil
}

func writeModule(sdk string, module embedded, out, version string) error {
	folder := filepath.Join(out, filepath.FromSlash(module.Served), "@v")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	// What it requires is said where it is used: a stand-in must not ask for more than a plugin needs.
	goMod := fmt.Sprintf("module %s\n\ngo %s\n", module.Path, goLine)
	facts := map[string]string{
		".mod":  goMod,
		".info": fmt.Sprintf("{\"Version\":%q,\"Time\":\"2000-01-01T00:00:00Z\"}\n", version),
	}
	for suffix, text := range facts {
		if err := os.WriteFile(filepath.Join(folder, version+suffix), []byte(text), 0o666); err != nil {
			return err
		}
	}
	file, err := os.Create(filepath.Join(folder, version+".zip"))
	if err != nil {
		return err
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	if err := addModule(archive, sdk, module, module.Served+"@"+version, goMod); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return file.Close()
}

func addModule(archive *zip.Writer, sdk string, module embedded, prefix, goMod string) error {
	withHeader := map[string]bool{}
	err := filepath.WalkDir(module.folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(file, "go.mod"))
			if file != module.folder && (err == nil || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		below, err := filepath.Rel(module.folder, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(below)
		if strings.HasSuffix(name, "_test.go") || name == "go.sum" {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if name == "go.mod" {
			text = []byte(goMod)
		}
		if strings.Contains(string(text), "gantry_plugin.h") {
			withHeader[path.Dir(name)] = true
		}
		return add(archive, path.Join(prefix, name), text)
	})
	if err != nil || len(withHeader) == 0 {
		return err
	}
	text, err := os.ReadFile(filepath.Join(sdk, filepath.FromSlash(header)))
	if err != nil {
		return err
	}
	for _, folder := range sorted(withHeader) {
		if err := add(archive, path.Join(prefix, folder, path.Base(header)), text); err != nil {
			return err
		}
	}
	return nil
}

func add(archive *zip.Writer, name string, text []byte) error {
	writer, err := archive.Create(name)
	if err != nil {
		return err
	}
	_, err = writer.Write(text)
	return err
}
