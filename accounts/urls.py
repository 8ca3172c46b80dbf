from django.urls import path

from accounts import api

urlpatterns = [
    path("register", api.Register.as_view()),
    path("login", api.Login.as_view()),
    path("refresh", api.Refresh.as_view()),
    path("logout", api.Logout.as_view()),
    path("logout-all", api.LogoutAll.as_view()),
    path("verify-email", api.VerifyEmail.as_view()),
    path("verify-email/resend", api.ResendVerification.as_view()),
    path("me", api.Me.as_view()),
    path("change-password", api.ChangePassword.as_view()),
    path("password-reset", api.PasswordReset.as_view()),
    path("password-reset/confirm", api.ConfirmPasswordReset.as_view()),
]
