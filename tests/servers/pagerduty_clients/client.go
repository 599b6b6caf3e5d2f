// Drives a PagerDuty through go-pagerduty: reads where from stdin, prints what it saw as one JSON object.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/PagerDuty/go-pagerduty"
)

type place struct {
	URL, Token, Key, From, Service, CA string
}

var ctx = context.Background()

func main() {
	if len(os.Args) > 1 {
		fmt.Println("go-pagerduty", pagerduty.Version)
		return
	}
	var at place
	must(json.NewDecoder(os.Stdin).Decode(&at))
	pem, err := os.ReadFile(at.CA)
	must(err)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	client := pagerduty.NewClient(at.Token, pagerduty.WithAPIEndpoint(at.URL), pagerduty.WithV2EventsAPIEndpoint(at.URL))
	client.HTTPClient = &http.Client{
		Timeout:   20 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}},
	}
	saw := map[string]any{"client": "go"}
	events(client, at, saw)
	incidents(client, at, saw)
	people(client, at, saw)
	refused(client, at, saw)
	must(json.NewEncoder(os.Stdout).Encode(saw))
}

func events(client *pagerduty.Client, at place, saw map[string]any) {
	var keys, statuses []string
	for _, one := range [][2]string{
		{"trigger", "story/1"}, {"trigger", "story/2"}, {"trigger", "story/3"}, {"trigger", "story/1"},
		{"acknowledge", "story/2"}, {"resolve", "story/3"}, {"resolve", "story/never"},
	} {
		event := pagerduty.V2Event{RoutingKey: at.Key, Action: one[0], DedupKey: one[1]}
		if one[0] == "trigger" {
			event.Payload = &pagerduty.V2Payload{
				Summary: one[1] + " burns", Source: "go", Severity: "critical", Details: map[string]any{"n": 1},
			}
		}
		answer, err := client.ManageEventWithContext(ctx, &event)
		must(err)
		keys = append(keys, answer.DedupKey)
		statuses = append(statuses, answer.Status)
	}
	saw["keys"], saw["statuses"] = keys, statuses
	change, err := client.CreateChangeEventWithContext(ctx, pagerduty.ChangeEvent{
		RoutingKey: at.Key,
		Payload:    pagerduty.ChangeEventPayload{Summary: "deployed", Source: "go", Timestamp: "2026-03-01T11:00:00Z"},
		Links:      []pagerduty.ChangeEventLink{{Href: "https://ci/7"}},
	})
	must(err)
	saw["change"] = change.Status
}

func incidents(client *pagerduty.Client, at place, saw map[string]any) {
	var titles, ids []string
	pages := 0
	for offset, more := uint(0), true; more; offset++ {
		page, err := client.ListIncidentsWithContext(ctx, pagerduty.ListIncidentsOptions{
			Limit: 1, Offset: offset, Statuses: []string{"triggered", "acknowledged"}, DateRange: "all",
		})
		must(err)
		for _, one := range page.Incidents {
			titles, ids = append(titles, one.Title), append(ids, one.ID)
		}
		pages, more = pages+1, page.More
	}
	saw["open"], saw["pages"] = titles, pages
	byKey, err := client.ListIncidentsWithContext(ctx, pagerduty.ListIncidentsOptions{IncidentKey: "story/2", Total: true})
	must(err)
	saw["by_key"] = []any{byKey.Incidents[0].Title, byKey.Incidents[0].Status, byKey.Incidents[0].IncidentKey, byKey.Total}
	one, err := client.GetIncidentWithContext(ctx, ids[0])
	must(err)
	alerts, err := client.ListIncidentAlertsWithContext(ctx, ids[0], pagerduty.ListIncidentAlertsOptions{})
	must(err)
	saw["got"] = []any{one.Status, one.LastStatusChangeBy.Type, alerts.Alerts[0].AlertKey}
	for _, status := range []string{"acknowledged", "resolved"} {
		done, err := client.ManageIncidentsWithContext(ctx, at.From, []pagerduty.ManageIncidentsOptions{{ID: ids[0], Status: status}})
		must(err)
		saw[status] = []any{done.Incidents[0].Status, done.Incidents[0].LastStatusChangeBy.Summary}
	}
	note, err := client.CreateIncidentNoteWithContext(ctx, ids[0], pagerduty.IncidentNote{
		Content: "on it", User: pagerduty.APIObject{Summary: at.From},
	})
	must(err)
	notes, err := client.ListIncidentNotesWithContext(ctx, ids[0])
	must(err)
	saw["notes"] = []any{note.Content, notes[0].User.Summary, len(notes)}
	entries, err := client.ListIncidentLogEntriesWithContext(ctx, ids[0], pagerduty.ListIncidentLogEntriesOptions{})
	must(err)
	saw["newest_entry"] = entries.LogEntries[0].Type
}

func people(client *pagerduty.Client, at place, saw map[string]any) {
	found, err := client.ListOnCallsWithContext(ctx, pagerduty.ListOnCallOptions{Includes: []string{"users"}})
	must(err)
	var emails []string
	for _, one := range found.OnCalls {
		emails = append(emails, one.User.Email)
	}
	saw["on_call"] = emails
	services, err := client.ListServicesPaginated(ctx, pagerduty.ListServiceOptions{Includes: []string{"integrations"}})
	must(err)
	saw["key_of_service"] = services[0].Integrations[0].IntegrationKey == at.Key
	now := time.Now().UTC()
	window, err := client.CreateMaintenanceWindowWithContext(ctx, at.From, pagerduty.MaintenanceWindow{
		StartTime: now.Format(time.RFC3339), EndTime: now.Add(time.Hour).Format(time.RFC3339), Description: "database",
		Services: []pagerduty.APIObject{{ID: at.Service, Type: "service_reference"}},
	})
	must(err)
	ongoing := func() int {
		list, err := client.ListMaintenanceWindowsWithContext(ctx, pagerduty.ListMaintenanceWindowsOptions{Filter: "ongoing"})
		must(err)
		return len(list.MaintenanceWindows)
	}
	before := ongoing()
	must(client.DeleteMaintenanceWindowWithContext(ctx, window.ID))
	saw["window"] = []any{window.Description, before, ongoing()}
}

func refused(client *pagerduty.Client, at place, saw map[string]any) {
	bad := pagerduty.V2Event{RoutingKey: at.Key, Action: "trigger", DedupKey: "bad", Payload: &pagerduty.V2Payload{
		Summary: "s", Source: "go", Severity: "page",
	}}
	_, err := client.ManageEventWithContext(ctx, &bad)
	saw["bad_event"] = status(err)
	_, err = client.ListIncidentsWithContext(ctx, pagerduty.ListIncidentsOptions{Limit: 101})
	saw["bad_query"] = told(err)
	_, err = client.ManageIncidentsWithContext(ctx, "nobody@example.com", []pagerduty.ManageIncidentsOptions{{ID: "Q", Status: "resolved"}})
	saw["bad_user"] = told(err)
	_, err = client.GetIncidentWithContext(ctx, "Q0")
	saw["not_found"] = told(err)
	_, err = client.ListPrioritiesWithContext(ctx, pagerduty.ListPrioritiesOptions{})
	var limited pagerduty.APIError
	saw["limited"] = errors.As(err, &limited) && limited.RateLimited() && limited.Temporary()
}

func status(err error) int {
	var one pagerduty.APIError
	if !errors.As(err, &one) {
		return 0
	}
	return one.StatusCode
}

func told(err error) []any {
	var one pagerduty.APIError
	if !errors.As(err, &one) || !one.APIError.Valid {
		return nil
	}
	return []any{one.StatusCode, one.APIError.ErrorObject.Code, one.APIError.ErrorObject.Message}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
