from datetime import date
from uuid import uuid4
import httpx2, json
from ehcp_contracts.events import *
from notification_service import sender
from notification_service.main import service
from notification_service.targets import Outside
from service_kit.testing import running

FACTS = Facts(academic_year="2026/27", year_group=5)


async def test_smoke(tmp_path):
    async with running(service, tmp_path) as app:
        o = app.as_("officer")
        r = await o.post("/v1/partners", json={"kind": "school", "ref": "900123", "name": "Elm"})
        assert r.status_code == 201, r.text
        pid = r.json()["id"]
        r = await o.post(
            "/v1/subscriptions", json={"partner_id": pid, "channel": "webhook", "url": "http://127.0.0.1:9/x"}
        )
        assert r.status_code == 201, r.text
        case = uuid4()
        await app.deliver(
            PlanIssued(
                issued_on=date(2026, 9, 1),
                placement=Placement(urn="900123"),
                responsible=Responsible(responsible_la="351", administering_la="351", icb="QOP"),
                facts=FACTS,
            ),
            case=case,
        )
        await app.settle()
        print(await app.parked())
        r = await o.get("/v1/deliveries")
        print(r.text)
        seen = []

        def h(req):
            seen.append(req)
            return httpx2.Response(204)

        async with Outside(loopback=True, transport=httpx2.MockTransport(h)) as out:
            print(await sender.run_once(app.hub, outside=out))
        print(seen[0].headers, seen[0].content)
        r = await o.get("/v1/deliveries")
        print(r.text)
        print(await app.sent())
        r = await app.as_("school", org="900123", las=()).get("/v1/events")
        print(r.status_code, r.text)
