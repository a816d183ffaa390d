# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "django[argon2]>=5.2,<7",
#     "djangorestframework==3.18.3",
#     "djangorestframework-simplejwt==5.5.1",
#     "gunicorn==27.0.1",
#     "psycopg[binary]==3.3.9",
# ]
# ///
"""Django REST framework, with a model's serializer and view set, and Simple JWT."""

from django.db.models import QuerySet
from django.urls import include, path
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import BaseSerializer, ModelSerializer
from rest_framework.viewsets import ModelViewSet
from rest_framework_simplejwt.views import TokenObtainPairView
from tasks.models import Task


class TaskSerializer(ModelSerializer):
    class Meta:
        model = Task
        fields = ("id", "title", "description", "status", "user_id", "created_at", "updated_at")


class TaskViewSet(ModelViewSet):
    serializer_class = TaskSerializer

    def get_queryset(self) -> QuerySet[Task]:
        return Task.objects.filter(user=self.request.user)

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(user=self.request.user)


router = SimpleRouter(trailing_slash=False)
router.register("tasks", TaskViewSet, basename="task")

urlpatterns = [
    path("auth/token", TokenObtainPairView.as_view()),
    path("", include(router.urls)),
]
