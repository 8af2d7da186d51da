using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace Diffract.Tests.Formats.Hub;

/// <summary>A hub on this machine, with one repository, which is there as a model and as a data set. What it answers can be spoilt request by request.</summary>
sealed class HubServer : IDisposable
{
    public const string Commit = "0123456789abcdef0123456789abcdef01234567";
    public const string Repository = "org/model";

    public const string Dataset = "org/data";

    readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    readonly CancellationTokenSource _stop = new();
    readonly List<HubRequest> _requests = [];

    public HubServer()
    {
        _listener.Start();
        Address = "http://127.0.0.1:" + ((IPEndPoint)_listener.LocalEndpoint).Port.ToString(CultureInfo.InvariantCulture);
        _ = Task.Run(Accept);
    }

    public string Address { get; }

    /// <summary>The repository: file to bytes; those of 1,000 bytes and more are large files.</summary>
    public Dictionary<string, byte[]> Files { get; } = [];

    /// <summary>Looks at a request first; null lets the hub answer.</summary>
    public Func<HubRequest, HubAnswer?> Spoil { get; set; } = _ => null;

    /// <summary>What was asked, in order.</summary>
    public IReadOnlyList<HubRequest> Requests
    {
        get
        {
            lock (_requests)
            {
                return [.. _requests];
            }
        }
    }

    public IEnumerable<HubRequest> Downloads => Requests.Where(r => r.Path.Contains("/resolve/", StringComparison.Ordinal));

    public static string Hash(byte[] bytes) => bytes.Length >= 1000
        ? Convert.ToHexStringLower(SHA256.HashData(bytes))
        : Git([.. Encoding.ASCII.GetBytes(FormattableString.Invariant($"blob {bytes.Length}\0")), .. bytes]);

    public HubAnswer Honest(HubRequest request)
    {
        if (request.Path.StartsWith($"/api/models/{Repository}/revision/", StringComparison.Ordinal) || request.Path.StartsWith($"/api/datasets/{Dataset}/revision/", StringComparison.Ordinal))
        {
            return request.Path.Split('?')[0].EndsWith("/main", StringComparison.Ordinal) || request.Path.Contains(Commit, StringComparison.Ordinal)
                ? new HubAnswer(200, Encoding.UTF8.GetBytes(List().ToJsonString()))
                : new HubAnswer(404, []) { Headers = { ["X-Error-Code"] = "RevisionNotFound" } };
        }

        string prefix = $"{(request.Path.StartsWith("/datasets/", StringComparison.Ordinal) ? "/datasets/" + Dataset : "/" + Repository)}/resolve/{Commit}/";
        if (!request.Path.StartsWith(prefix, StringComparison.Ordinal) || !Files.TryGetValue(request.Path[prefix.Length..], out byte[]? bytes))
        {
            return new HubAnswer(404, []) { Headers = { ["X-Error-Code"] = "RepoNotFound" } };
        }

        return request.From is { } from
            ? new HubAnswer(206, bytes[(int)from..]) { Headers = { ["Content-Range"] = FormattableString.Invariant($"bytes {from}-{bytes.Length - 1}/{bytes.Length}") } }
            : new HubAnswer(200, bytes);
    }

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Stop();
    }

    [System.Diagnostics.CodeAnalysis.SuppressMessage("Security", "CA5350", Justification = "git names small files by SHA-1")]
    static string Git(byte[] bytes) => Convert.ToHexStringLower(SHA1.HashData(bytes));

    JsonObject List() => new()
    {
        ["sha"] = Commit,
        ["siblings"] = new JsonArray([.. Files.Select(f => (JsonNode)(f.Value.Length >= 1000
            ? new JsonObject { ["rfilename"] = f.Key, ["size"] = f.Value.Length, ["blobId"] = new string('a', 40), ["lfs"] = new JsonObject { ["sha256"] = Hash(f.Value), ["size"] = f.Value.Length } }
            : new JsonObject { ["rfilename"] = f.Key, ["size"] = f.Value.Length, ["blobId"] = Hash(f.Value) }))]),
    };

    async Task Accept()
    {
        while (!_stop.IsCancellationRequested)
        {
            TcpClient client = await _listener.AcceptTcpClientAsync(_stop.Token);
            _ = Task.Run(() => Serve(client));
        }
    }

    async Task Serve(TcpClient client)
    {
        using (client)
        {
            using StreamReader reader = new(client.GetStream(), Encoding.ASCII, false, 1024, leaveOpen: true);
            string first = await reader.ReadLineAsync(_stop.Token) ?? "";
            Dictionary<string, string> headers = new(StringComparer.OrdinalIgnoreCase);
            while (await reader.ReadLineAsync(_stop.Token) is { Length: > 0 } line)
            {
                headers[line[..line.IndexOf(':', StringComparison.Ordinal)]] = line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
            }

            HubRequest request = new(first.Split(' ')[1], headers);
            lock (_requests)
            {
                _requests.Add(request);
            }

            HubAnswer answer = Spoil(request) ?? Honest(request);
            StringBuilder head = new();
            head.Append(CultureInfo.InvariantCulture, $"HTTP/1.1 {answer.Status} X\r\nConnection: close\r\n");
            if (answer.ClaimedLength is { } length)
            {
                head.Append(CultureInfo.InvariantCulture, $"Content-Length: {length}\r\n");
            }

            foreach ((string name, string value) in answer.Headers)
            {
                head.Append(CultureInfo.InvariantCulture, $"{name}: {value}\r\n");
            }

            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head + "\r\n"), _stop.Token);
            await client.GetStream().WriteAsync(answer.Body.AsMemory(0, Math.Min(answer.Body.Length, answer.CutAfter)), _stop.Token);
            if (answer.Stall)
            {
                await Task.Delay(Timeout.Infinite, _stop.Token);
            }
        }
    }
}

/// <summary>What was asked of the server.</summary>
sealed record HubRequest(string Path, Dictionary<string, string> Headers)
{
    public long? From => Headers.TryGetValue("Range", out string? range) ? long.Parse(range["bytes=".Length..^1], CultureInfo.InvariantCulture) : null;
}

/// <summary>What the server says.</summary>
sealed record HubAnswer(int Status, byte[] Body)
{
    public Dictionary<string, string> Headers { get; } = [];

    public long? ClaimedLength { get; init; } = Body.Length;

    /// <summary>The connection ends after so many bytes of the body.</summary>
    public int CutAfter { get; init; } = int.MaxValue;

    /// <summary>Nothing more comes, and the connection stays open.</summary>
    public bool Stall { get; init; }
}
