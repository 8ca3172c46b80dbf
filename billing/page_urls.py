from django.urls import path

from billing import change_pages, ledger_pages, pages, views

app_name = "billing"

urlpatterns = [
    path("", pages.subscription, name="subscription"),
    path("change", change_pages.change, name="change"),
    path("cancel", change_pages.cancel, name="cancel"),
    path("resume", change_pages.resume, name="resume"),
    path("trial", change_pages.trial, name="trial"),
    path("portal", change_pages.portal, name="portal"),
    path("ledger", ledger_pages.ledger, name="ledger"),
    path("ledger.csv", ledger_pages.ledger_csv, name="ledger_csv"),
    path("invoices", ledger_pages.invoices, name="invoices"),
    path("return/<uuid:operation_id>", views.come_back, name="return"),
]
