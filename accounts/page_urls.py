from django.urls import path

from accounts import account_pages, invitation_pages, workspace_pages

app_name = "accounts"

urlpatterns = [
    path("account/", account_pages.account, name="account"),
    path("workspace/", workspace_pages.workspace, name="workspace"),
    path("workspace/switch", workspace_pages.switch, name="switch"),
    path("workspace/new", workspace_pages.new, name="workspace_new"),
    path("workspace/rename", workspace_pages.rename, name="workspace_rename"),
    path("workspace/admins-bill", workspace_pages.let_admins_bill, name="let_admins_bill"),
    path("workspace/invite", invitation_pages.invite, name="invite"),
    path("workspace/invitations/<uuid:invitation>/resend", invitation_pages.resend, name="invitation_resend"),
    path("workspace/invitations/<uuid:invitation>/withdraw", invitation_pages.withdraw, name="invitation_withdraw"),
    path("workspace/invitations/<uuid:invitation>/accept", invitation_pages.accept, name="invitation_accept"),
    path("workspace/join/<str:token>/", invitation_pages.join, name="join"),
    path("workspace/members/<uuid:member>/", workspace_pages.member, name="member"),
    path("workspace/members/<uuid:member>/remove", workspace_pages.remove, name="member_remove"),
    path("workspace/leave", workspace_pages.leave, name="workspace_leave"),
    path("workspace/transfer", workspace_pages.transfer, name="workspace_transfer"),
]
