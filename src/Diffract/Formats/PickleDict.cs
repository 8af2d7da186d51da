using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>A Python dict or OrderedDict out of a pickle, in its order; text keys are found by name, and a repeated one keeps its place and takes the later value.</summary>
public sealed class PickleDict
{
    readonly List<KeyValuePair<object?, object?>> _items = [];
    Dictionary<string, int>? _places;

    public IReadOnlyList<KeyValuePair<object?, object?>> Items => _items;

    /// <exception cref="DiffractException">No such key.</exception>
    public object? this[string key] => TryGet(key, out object? value) ? value : throw new DiffractException($"a torch file's dict has no key {key}");

    public bool TryGet(string key, out object? value)
    {
        bool found = _places is not null && _places.TryGetValue(key, out int at);
        value = found ? _items[_places![key]].Value : null;
        return found;
    }

    public void Set(object? key, object? value)
    {
        if (key is string name)
        {
            _places ??= new Dictionary<string, int>(StringComparer.Ordinal);
            if (_places.TryGetValue(name, out int at))
            {
                _items[at] = new(key, value);
                return;
            }

            _places[name] = _items.Count;
        }

        _items.Add(new(key, value));
    }
}
