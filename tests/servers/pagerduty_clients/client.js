// Drives a PagerDuty through @pagerduty/pdjs: reads where from stdin, prints what it saw as one JSON object.
// Its first argument is the folder of node_modules; NODE_EXTRA_CA_CERTS names the certificate to trust.
'use strict';
const fs = require('fs');
const path = require('path');
const {api, event, acknowledge, resolve, trigger, change} = require(path.join(process.argv[2], '@pagerduty/pdjs'));

const at = JSON.parse(fs.readFileSync(0, 'utf8'));
const server = at.URL.replace('https://', '');
const pd = api({token: at.Token, server, requestTimeout: 0});
const saw = {client: 'js'};

async function events() {
  const payload = key => ({summary: `${key} burns`, source: 'js', severity: 'critical', custom_details: {n: 1}});
  const sent = [
    [trigger, 'story/1'], [trigger, 'story/2'], [trigger, 'story/3'], [trigger, 'story/1'],
    [acknowledge, 'story/2'], [resolve, 'story/3'], [resolve, 'story/never'],
  ];
  saw.keys = [];
  saw.statuses = [];
  for (const [action, key] of sent) {
    const data = {routing_key: at.Key, dedup_key: key, ...(action === trigger ? {payload: payload(key)} : {})};
    const {data: answer} = await action({server, data, requestTimeout: 0});
    saw.keys.push(answer.dedup_key);
    saw.statuses.push(answer.status);
  }
  const data = {
    routing_key: at.Key,
    payload: {summary: 'deployed', source: 'js', timestamp: '2026-03-01T11:00:00Z'},
    links: [{href: 'https://ci/7'}],
  };
  saw.change = (await change({server, data, requestTimeout: 0})).data.status;
}

async function incidents() {
  // its `all` reads pages only below a `.com`, so this follows `next`
  const queryParameters = {limit: '1', date_range: 'all', 'statuses[]': ['triggered', 'acknowledged']};
  const pages = [await pd.get('/incidents', {queryParameters})];
  while (pages.at(-1).next) {
    pages.push(await pages.at(-1).next());
  }
  const found = pages.flatMap(page => page.data.incidents);
  saw.open = found.map(one => one.title);
  saw.pages = pages.length;
  const byKey = (await pd.get('/incidents', {data: {incident_key: 'story/2', total: 'true'}})).data;
  const [second] = byKey.incidents;
  saw.by_key = [second.title, second.status, second.incident_key || '', byKey.total];
  const id = found[0].id;
  const {incident} = (await pd.get(`/incidents/${id}`)).data;
  const {alerts} = (await pd.get(`/incidents/${id}/alerts`)).data;
  saw.got = [incident.status, incident.last_status_change_by.type, alerts[0].alert_key];
  for (const status of ['acknowledged', 'resolved']) {
    const done = await pd.put(`/incidents/${id}`, {
      headers: {From: at.From},
      data: {incident: {type: 'incident_reference', status}},
    });
    saw[status] = [done.data.incident.status, done.data.incident.last_status_change_by.summary];
  }
  const note = await pd.post(`/incidents/${id}/notes`, {headers: {From: at.From}, data: {note: {content: 'on it'}}});
  const {notes} = (await pd.get(`/incidents/${id}/notes`)).data;
  saw.notes = [note.data.note.content, notes[0].user.summary, notes.length];
  saw.newest_entry = (await pd.get(`/incidents/${id}/log_entries`)).data.log_entries[0].type;
}

async function people() {
  const found = (await pd.get('/oncalls', {queryParameters: {'include[]': ['users']}})).data;
  saw.on_call = found.oncalls.map(one => one.user.email);
  const services = (await pd.get('/services', {queryParameters: {'include[]': ['integrations']}})).data.services;
  saw.key_of_service = services[0].integrations[0].integration_key === at.Key;
  const time = milliseconds => new Date(milliseconds).toISOString();
  const made = await pd.post('/maintenance_windows', {
    headers: {From: at.From},
    data: {
      maintenance_window: {
        type: 'maintenance_window', start_time: time(Date.now()), end_time: time(Date.now() + 3600e3),
        description: 'database', services: [{id: at.Service, type: 'service_reference'}],
      },
    },
  });
  const window = made.data.maintenance_window;
  const ongoing = async () =>
    (await pd.get('/maintenance_windows', {data: {filter: 'ongoing'}})).data.maintenance_windows.length;
  const before = await ongoing();
  await pd.delete(`/maintenance_windows/${window.id}`);
  saw.window = [window.description, before, await ongoing()];
}

async function refused() {
  const told = ({response, data}) => [response.status, data.error.code, data.error.message];
  const payload = {summary: 's', source: 'js', severity: 'page'};
  const data = {routing_key: at.Key, event_action: 'trigger', dedup_key: 'bad', payload};
  saw.bad_event = (await event({server, data, requestTimeout: 0})).status;
  saw.bad_query = told(await pd.get('/incidents', {data: {limit: '101'}}));
  const incidents = [{id: 'Q', type: 'incident', status: 'resolved'}];
  saw.bad_user = told(await pd.put('/incidents', {headers: {From: 'nobody@example.com'}, data: {incidents}}));
  saw.not_found = told(await pd.get('/incidents/Q0'));
  saw.limited = (await pd.get('/priorities', {retryTimeout: 1})).status === 429; // after three more requests
}

(async () => {
  await events();
  await incidents();
  await people();
  await refused();
  console.log(JSON.stringify(saw));
})().catch(error => {
  console.error(error);
  process.exit(1);
});
