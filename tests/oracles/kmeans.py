"""Lloyd's round as the definition has it: nearest centre, then the mean, one point at a time."""


def assign(points, centres):
    nearest = []
    for point in points:
        away = [sum((a - b) ** 2 for a, b in zip(point, c, strict=True)) for c in centres]
        nearest.append(away.index(min(away)))
    return nearest


def means(points, assigned, count):
    centres = []
    for cluster in range(count):
        members = [p for p, a in zip(points, assigned, strict=True) if a == cluster]
        centres.append([sum(axis) / len(members) for axis in zip(*members, strict=True)])
    return centres


def inertia(points, centres):
    total = 0.0
    for point, cluster in zip(points, assign(points, centres), strict=True):
        total += sum((a - b) ** 2 for a, b in zip(point, centres[cluster], strict=True))
    return total
