import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;

/** A session with the defaults of Java's client, which offers h2c with each request over http. */
class Session {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static String send(
            int expected, String method, String url, String type, String token, String body)
            throws Exception {
        var publisher = body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body);
        var request = HttpRequest.newBuilder(URI.create(url)).method(method, publisher);
        if (body != null) request.header("Content-Type", type);
        if (token != null) request.header("Authorization", "Bearer " + token);
        HttpResponse<String> answer = CLIENT.send(request.build(), BodyHandlers.ofString());
        System.out.println(method + " " + answer.statusCode() + " " + answer.version());
        if (answer.statusCode() != expected) throw new AssertionError(answer.body());
        return answer.body();
    }

    public static void main(String[] arguments) throws Exception {
        var url = arguments[0];
        var json = "application/json";
        var form = "application/x-www-form-urlencoded";
        var user = """
            {"name": "Anna", "email": "anna@example.com", "password": "correct horse battery staple"}
            """;
        var login = "grant_type=password&username=anna@example.com"
            + "&password=correct+horse+battery+staple";
        send(201, "POST", url + "/users", json, null, user);
        var tokens = send(200, "POST", url + "/auth/token", form, null, login);
        var token = tokens.replaceAll(".*\"access_token\":\"([^\"]+)\".*", "$1");
        var description = "я".repeat(10_000);
        var task = "{\"title\": \"Buy bread\", \"description\": \"" + description + "\"}";
        for (int i = 0; i < 10; i++) send(201, "POST", url + "/tasks", json, token, task);
        var tasks = send(200, "GET", url + "/tasks", json, token, null);
        if (!tasks.contains(description)) throw new AssertionError("another description");
        send(204, "DELETE", url + "/tasks/1", json, token, null);
        send(422, "POST", url + "/tasks", json, token, "{}");
    }
}
