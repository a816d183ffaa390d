from django.conf import settings
from django.db import models


class Status(models.TextChoices):
    NEW = "новая"
    IN_PROGRESS = "в процессе"
    DONE = "завершена"


class Task(models.Model):
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", max_length=10_000)
    status = models.CharField(max_length=16, choices=Status, default=Status.NEW)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "tasks"
        ordering = ("id",)

    def __str__(self) -> str:
        return self.title
