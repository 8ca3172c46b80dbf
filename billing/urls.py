from django.urls import path

from billing import api, webhooks

urlpatterns = [
    path("plans", api.Plans.as_view()),
    path("subscription", api.SubscriptionView.as_view()),
    path("activate-trial", api.ActivateTrial.as_view()),
    path("create-checkout-session", api.CreateCheckoutSession.as_view()),
    path("create-portal-session", api.CreatePortalSession.as_view()),
    path("preview-change", api.PreviewChange.as_view()),
    path("change-plan", api.ChangePlan.as_view()),
    path("cancel", api.Cancel.as_view()),
    path("resume", api.Resume.as_view()),
    path("invoices", api.Invoices.as_view()),
    path("webhook", webhooks.Webhook.as_view()),
    path("usage", api.Usage.as_view()),
    path("ledger", api.Ledger.as_view()),
]
