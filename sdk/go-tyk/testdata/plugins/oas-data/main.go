// Reads config data, middleware and paths out of an OpenAPI document with Tyk's extension.
package main

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/TykTechnologies/tyk/apidef/oas"
	"github.com/TykTechnologies/tyk/ctx"
)

// TellDocument (Pre) answers what it finds, or passes on where the API has a definition of the classic kind.
func TellDocument(rw http.ResponseWriter, r *http.Request) {
	document := ctx.GetOASDefinition(r)
	if document == nil {
		rw.Header().Set("X-Oas", "none")
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	json.NewEncoder(rw).Encode(map[string]interface{}{
		"title":     titleOf(&document.T),
		"listen":    document.GetTykExtension().Server.ListenPath.Value,
		"data":      dataOf(document),
		"classic":   ctx.GetDefinition(r) != nil,
		"paths":     strconv.Itoa(len(document.Paths)),
		"mentioned": document.GetTykExtension().Info.Name,
	})
}

func titleOf(document *openapi3.T) string {
	if document.Info == nil {
		return ""
	}
	return document.Info.Title
}

func dataOf(document *oas.OAS) map[string]interface{} {
	middleware := document.GetTykMiddleware()
	if middleware == nil || middleware.Global == nil || middleware.Global.PluginConfig == nil {
		return nil
	}
	data := middleware.Global.PluginConfig.Data
	if data == nil || !data.Enabled {
		return nil
	}
	return data.Value
}

func main() {}
