"""The pages behind mailed links."""

from django.urls import path, re_path

from accounts import views

urlpatterns = [
    path("confirm-email/<str:key>/", views.confirm_email, name="confirm_email"),
    # As allauth writes it: the uid has no hyphen, the token has.
    re_path(
        r"^password/reset/key/(?P<uid>[0-9A-Za-z]+)-(?P<token>[0-9A-Za-z-]+)/$",
        views.reset_password,
        name="reset_password",
    ),
]
