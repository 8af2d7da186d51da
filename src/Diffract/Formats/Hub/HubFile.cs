namespace Diffract.Formats.Hub;

/// <summary>A file of a repository.</summary>
/// <param name="Name">Path inside the repository, with <c>/</c>.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Hash">Name of its blob: the SHA-256 of a large file, else the SHA-1 that git gives it.</param>
/// <param name="Large">Whether the hash is a SHA-256.</param>
sealed record HubFile(string Name, long Bytes, string Hash, bool Large);

/// <summary>A commit and its files.</summary>
sealed record HubCommit(string Sha, IReadOnlyList<HubFile> Files);
