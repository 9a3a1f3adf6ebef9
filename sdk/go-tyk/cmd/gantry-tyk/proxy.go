package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
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
	var sums strings.Builder
	for _, module := range modules {
		packed, err := writeModule(*sdk, module, *out, *version)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", module.Path, err)
		}
		fmt.Fprintf(&sums, "%s %s %s\n", module.Served, *version, sumOf(packed.files))
		fmt.Fprintf(&sums, "%s %s/go.mod %s\n", module.Served, *version, sumOf(map[string][]byte{"go.mod": packed.goMod}))
	}
	return modules, os.WriteFile(filepath.Join(*out, "sums"), []byte(sums.String()), 0o666)
}

// packed is a module as Go unpacks it: names begin with path and version.
type packed struct {
	goMod []byte
	files map[string][]byte
}

func writeModule(sdk string, module embedded, out, version string) (*packed, error) {
	folder := filepath.Join(out, filepath.FromSlash(module.Served), "@v")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, err
	}
	// What it requires is said where it is used: a stand-in must not ask for more than a plugin needs.
	goMod := []byte(fmt.Sprintf("module %s\n\ngo %s\n", module.Path, goLine))
	packed := &packed{goMod: goMod, files: map[string][]byte{}}
	if err := packed.collect(sdk, module, module.Served+"@"+version); err != nil {
		return nil, err
	}
	facts := map[string][]byte{
		".mod":  goMod,
		".info": []byte(fmt.Sprintf("{\"Version\":%q,\"Time\":\"2000-01-01T00:00:00Z\"}\n", version)),
	}
	for suffix, text := range facts {
		if err := os.WriteFile(filepath.Join(folder, version+suffix), text, 0o666); err != nil {
			return nil, err
		}
	}
	file, err := os.Create(filepath.Join(folder, version+".zip"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := packed.zip(file); err != nil {
		return nil, err
	}
	return packed, file.Close()
}

// collect reads a module's files, without its tests.
func (p *packed) collect(sdk string, module embedded, prefix string) error {
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
		if strings.HasSuffix(name, "_test.go") || name == "go.sum" || name == "go.mod" {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "gantry_plugin.h") {
			withHeader[path.Dir(name)] = true
		}
		p.files[path.Join(prefix, name)] = text
		return nil
	})
	if err != nil {
		return err
	}
	p.files[path.Join(prefix, "go.mod")] = p.goMod
	for folder := range withHeader {
		text, err := os.ReadFile(filepath.Join(sdk, filepath.FromSlash(header)))
		if err != nil {
			return err
		}
		p.files[path.Join(prefix, folder, path.Base(header))] = text
	}
	return nil
}

func (p *packed) zip(file *os.File) error {
	archive := zip.NewWriter(file)
	for _, name := range names(p.files) {
		writer, err := archive.Create(name)
		if err != nil {
			return err
		}
		if _, err := writer.Write(p.files[name]); err != nil {
			return err
		}
	}
	return archive.Close()
}

// sumOf is the digest by which go.sum knows a module.
func sumOf(files map[string][]byte) string {
	var list strings.Builder
	for _, name := range names(files) {
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	sum := sha256.Sum256([]byte(list.String()))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}

func names(files map[string][]byte) []string {
	list := make([]string, 0, len(files))
	for name := range files {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}
