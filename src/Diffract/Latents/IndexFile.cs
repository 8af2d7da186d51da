using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>A JSON array of latent indices, each once.</summary>
public static class IndexFile
{
    /// <param name="option">The option that named it, for messages.</param>
    /// <param name="path">The file.</param>
    /// <param name="latents">L: indices must lie below it.</param>
    /// <exception cref="DiffractException">No such file, not such an array, an index that there is not, or one twice.</exception>
    public static int[] Read(string option, string path, int latents)
    {
        if (!File.Exists(path))
        {
            throw DiffractException.Argument($"{option} {path}: the file does not exist; wanted a JSON array of latent indices");
        }

        int[] indices;
        try
        {
            indices = JsonSerializer.Deserialize<int[]>(File.ReadAllText(path)) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{path} is not a JSON array of latent indices ({e.Message})", inner: e);
        }

        if (indices.Length == 0)
        {
            throw new DiffractException($"{path} names no latent; wanted one at least");
        }

        foreach (int index in indices)
        {
            if (index < 0 || index >= latents)
            {
                throw new DiffractException($"{path} names latent {index}; wanted 0 to {latents - 1}, as the dictionary has them");
            }
        }

        int twice = indices.GroupBy(i => i).FirstOrDefault(g => g.Count() > 1)?.Key ?? -1;
        return twice < 0 ? indices : throw new DiffractException($"{path} names latent {twice} twice; wanted each once");
    }
}
